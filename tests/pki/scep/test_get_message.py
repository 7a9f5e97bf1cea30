"""PKIOperation by GET: base64 in a query, as one client or another writes it."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bramley.pki.scep.errors import MalformedMessage
from bramley.pki.scep.server import decode_get_message

# every base64 character, '+' and '/' among them, and two octets of padding
MESSAGE = base64.b64decode(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") + b"\xfb\xef\xbe\xff"
TEXT = base64.b64encode(MESSAGE).decode()
URL_SAFE = base64.urlsafe_b64encode(MESSAGE).decode()
LINES = base64.encodebytes(MESSAGE).decode()


@pytest.mark.parametrize(
    "value",
    [
        TEXT,
        TEXT.rstrip("="),
        TEXT.replace("=", "%3D"),
        TEXT.replace("=", "%3d"),
        TEXT.replace("=", "%253D"),
        TEXT.replace("+", "%2B").replace("/", "%2F"),
        TEXT.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D"),
        TEXT.replace("+", "%2b").replace("=", "%3D"),
        quote(quote(TEXT, safe=""), safe=""),
        TEXT.replace("+", "%20"),
        URL_SAFE,
        URL_SAFE.rstrip("="),
        URL_SAFE.replace("=", "%3D"),
        quote(LINES, safe=""),
        LINES.replace("\n", "%0D%0A"),
    ],
    ids=[
        "plain",
        "no padding",
        "padding alone escaped, as macOS",
        "escaped in lower case",
        "padding escaped twice",
        "all but padding escaped",
        "all escaped",
        "slash left alone",
        "all escaped twice",
        "plus made a space on the way",
        "URL-safe alphabet",
        "URL-safe alphabet, no padding",
        "URL-safe alphabet, padding escaped",
        "lines",
        "lines of CRLF",
    ],
)
def test_every_form_in_the_wild(value: str) -> None:
    assert "+" in TEXT
    assert "/" in TEXT
    assert TEXT.endswith("==")
    assert decode_get_message(value.encode()) == MESSAGE


@pytest.mark.parametrize(
    "value", [b"", b"%3D%3D", b"A", b"AB=CD", b"AB*C", b"%zzAB", b"%", b"\xff\xfe", b"AB%00C", b"%25252525413"]
)
def test_everything_else_is_malformed(value: bytes) -> None:
    with pytest.raises(MalformedMessage) as caught:
        decode_get_message(value)
    assert caught.value.fail_info is None


@given(
    message=st.binary(min_size=1, max_size=200),
    url_safe=st.booleans(),
    padded=st.booleans(),
    escapes=st.integers(0, 2),
    broken=st.booleans(),
)
def test_every_message_in_every_form_comes_back(message: bytes, url_safe: bool, padded: bool, escapes: int, broken: bool) -> None:
    encoded = (base64.urlsafe_b64encode if url_safe else base64.b64encode)(message).decode()
    text = encoded if padded else encoded.rstrip("=")
    text = "\n".join(text[at : at + 64] for at in range(0, len(text), 64)) if broken else text
    for _ in range(escapes):
        text = quote(text, safe="")
    assert decode_get_message(text.encode("ascii")) == message


@given(st.binary(max_size=200) | st.text("ABC+/=-_% 0123456789\n", max_size=80).map(str.encode))
def test_noise_is_a_message_or_malformed(value: bytes) -> None:
    try:
        message = decode_get_message(value)
    except MalformedMessage:
        return
    assert message
