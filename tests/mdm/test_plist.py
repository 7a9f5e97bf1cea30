"""The strict reader and the writer, with plistlib, which we did not write, as the judge of both."""

from __future__ import annotations

import math
import plistlib
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bramley.mdm import plist
from bramley.mdm.errors import BadMessage, BadValue

DOCTYPE = b'<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">'

# what XML can hold, without the carriage returns that plistlib's writer loses
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"), max_size=20)
TIMES = st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2100, 1, 1)).map(
    lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
)
SCALARS = TEXT | st.integers(-(2**63), 2**64 - 1) | st.booleans() | st.floats(allow_nan=False) | st.binary(max_size=60) | TIMES
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5), max_leaves=25
)


def read(body: bytes) -> plist.PlistValue:
    return plist.loads(b'<plist version="1.0">' + body + b"</plist>", max_bytes=1 << 20)


def naive(value: Any) -> Any:
    """As plistlib knows it: times are UTC without saying so."""
    match value:
        case datetime():
            return value.replace(tzinfo=None)
        case dict():
            return {key: naive(item) for key, item in value.items()}
        case list():
            return [naive(item) for item in value]
    return value


@given(VALUES)
@settings(max_examples=300, deadline=None)
def test_what_plistlib_writes_we_read_and_the_other_way_round(value: Any) -> None:
    assert plist.loads(plistlib.dumps(naive(value), sort_keys=False), max_bytes=1 << 20) == value
    assert plistlib.loads(plist.dumps(value)) == naive(value)
    assert plist.loads(plist.dumps(value), max_bytes=1 << 20) == value


@given(st.binary(max_size=200) | VALUES.map(lambda value: plist.dumps(value)[150:]), st.data())
@settings(max_examples=300, deadline=None)
def test_damaged_bytes_never_do_more_than_be_refused(tail: bytes, data: st.DataObject) -> None:
    document = bytearray(plist.dumps({"a": [1, "b", b"c"]}) + tail)
    for _ in range(data.draw(st.integers(0, 4))):
        document[data.draw(st.integers(0, len(document) - 1))] = data.draw(st.integers(0, 255))
    try:
        value = plist.loads(bytes(document), max_bytes=1 << 20)
    except BadMessage:
        return
    assert naive(value) == plistlib.loads(bytes(document)), "what we accept, plistlib reads alike"


@pytest.mark.parametrize("document", [b"<?xnl version='1.0'?><plist><true/></plist>", b"<plist><?php x?><true/></plist>"])
def test_processing_instructions_are_refused(document: bytes) -> None:
    with pytest.raises(BadMessage, match="a processing instruction came"):
        plist.loads(document, max_bytes=1 << 20)


def test_every_recorded_message_reads_as_plistlib_reads_it(vectors: Path) -> None:
    recorded = sorted((vectors / "messages").glob("*/*"))
    assert recorded
    for path in recorded:
        body = path.read_bytes()
        assert naive(plist.loads(body, max_bytes=1 << 20)) == plistlib.loads(body), path


def test_dictionaries_keep_their_order_and_carriage_returns_survive() -> None:
    value = plist.loads(plist.dumps({"z": "one\r\ntwo\rthree", "a": "<&>\"'"}), max_bytes=1 << 20)
    assert value == {"z": "one\r\ntwo\rthree", "a": "<&>\"'"}
    assert isinstance(value, dict)
    assert list(value) == ["z", "a"]


def test_comments_cdata_and_predefined_entities_are_text_as_xml_says() -> None:
    assert read(b"<string>a<!-- not this -->b<![CDATA[<c>]]>&lt;&#100;&#x65;</string>") == "ab<c><de"
    assert read(b"<data>\n\tSGVs\n\tbG8=\n</data>") == b"Hello"
    assert read(b"<integer>-0x1F</integer>") == -31
    assert read(b"<date>2026-11-24T12:00:00Z</date>") == datetime(2026, 11, 24, 12, tzinfo=UTC)
    infinity = read(b"<real>-infinity</real>")
    assert isinstance(infinity, float)
    assert math.isinf(infinity)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"<string>a</string><string>b</string>", "several came"),
        (b"", "none came"),
        (b"<null/>", "<null> came"),
        (b"<dict><key>a</key></dict>", "has none"),
        (b"<dict><key>a</key><key>b</key></dict>", "another key came"),
        (b"<dict><string>a</string></dict>", "without one"),
        (b"<dict><key>a</key><true/><key>a</key><false/></dict>", "came again"),
        (b"<array><key>a</key></array>", "dictionaries only"),
        (b"<key>a</key>", "dictionaries only"),
        (b"<array>stray</array>", "text came"),
        (b"<array><plist/></array>", "<plist> came"),
        (b"<string><b>bold</b></string>", "an element <b> came"),
        (b"<string lang='en'>a</string>", "no attributes"),
        (b"<true>yes</true>", "in <true>"),
        (b"<data>!!!!</data>", "in <data>"),
        (b"<data>QQ</data>", "in <data>"),
        (b"<data>QQ==QQ==</data>", "in <data>"),
        (b"<integer>1.5</integer>", "in <integer>"),
        (b"<integer>1_000</integer>", "in <integer>"),
        (b"<integer></integer>", "in <integer>"),
        (b"<integer>18446744073709551616</integer>", "in <integer>"),
        (b"<integer>" + b"9" * 5000 + b"</integer>", "in <integer>"),
        ("<integer>٣</integer>".encode(), "in <integer>"),
        (b"<real>1_0.5</real>", "in <real>"),
        (b"<real>one</real>", "in <real>"),
        (b"<date>2026-11-24</date>", "in <date>"),
        (b"<date>2026-13-24T12:00:00Z</date>", "in <date>"),
        (b"<date>2026-11-24T12:00:00+</date>", "in <date>"),
        (b"<string>a&unknown;b</string>", "not well-formed"),
        (b"<string>\x00</string>", "another encoding"),
        (b"<string>\x01</string>", "not well-formed"),
        (b"<string>\xff</string>", "not well-formed"),
    ],
)
def test_whatever_is_not_exactly_a_property_list_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(BadMessage, match=why):
        read(body)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"not xml",
        b"<html><string>a</string></html>",
        b"<string>a</string>",
        b"<plist><string>a</string></plist><plist><string>b</string></plist>",
        b"<plist version='1.0' evil='1'><string>a</string></plist>",
        "<?xml version='1.0' encoding='UTF-16'?><plist><string>a</string></plist>".encode("utf-16"),
        "<?xml version='1.0' encoding='UTF-16'?><plist><string>a</string></plist>".encode("utf-16-be"),
        b"<?xml version='1.0' encoding='ATF-8'?><plist><string>a</string></plist>",
        "<?xml version='1.0' encoding='ISO-8859-1'?><plist><string>é</string></plist>".encode("latin-1"),
        plistlib.dumps({"a": 1}, fmt=plistlib.FMT_BINARY),
        DOCTYPE + b"<plist><string>a&undeclared;b</string></plist>",
        b"<!DOCTYPE plist [<!ENTITY a 'b'>]><plist><string>&a;</string></plist>",
        b"<!DOCTYPE plist [<!ENTITY a SYSTEM 'file:///etc/hostname'>]><plist><string>&a;</string></plist>",
        b"<!DOCTYPE plist [<!ENTITY % p SYSTEM 'file:///etc/hostname'> %p;]><plist><string>a</string></plist>",
        b"<!DOCTYPE plist [<!ATTLIST plist version CDATA '1.0'>]><plist><string>a</string></plist>",
    ],
)
def test_other_documents_encodings_and_declarations_are_refused(document: bytes) -> None:
    with pytest.raises(BadMessage):
        plist.loads(document, max_bytes=1 << 20)


def test_ten_thousand_arrays_deep_is_refused_at_once() -> None:
    document = b"<plist>" + b"<array>" * 10_000 + b"</array>" * 10_000 + b"</plist>"
    started = time.process_time()
    with pytest.raises(BadMessage, match="less deeply nested"):
        plist.loads(document, max_bytes=1 << 20)
    assert time.process_time() - started < 1


def test_the_deepest_that_may_be_written_may_be_read() -> None:
    value: plist.Writable = "core"
    for _ in range(65):
        value = [value]
    assert plist.loads(plist.dumps(value), max_bytes=1 << 20) == value
    with pytest.raises(BadValue):
        plist.dumps([value])


def test_a_billion_laughs_are_refused_before_the_first_one() -> None:
    levels = b"".join(b'<!ENTITY l%d "%s">' % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 10))
    document = b'<!DOCTYPE plist [<!ENTITY l0 "ha">' + levels + b"]><plist><string>&l9;</string></plist>"
    with pytest.raises(BadMessage, match="internal subset"):
        plist.loads(document, max_bytes=1 << 20)


def test_bytes_and_elements_are_limited() -> None:
    with pytest.raises(BadMessage, match="at most 100 bytes; 101 came"):
        plist.loads(b" " * 101, max_bytes=100)
    with pytest.raises(BadMessage, match="elements"):
        plist.loads(b"<plist><array>" + b"<true/>" * (1 << 18) + b"</array></plist>", max_bytes=1 << 24)


def test_large_data_in_many_pieces_takes_time_in_proportion() -> None:
    document = b"<plist><string>" + b"a<!-- -->" * 200_000 + b"</string></plist>"
    started = time.process_time()
    assert plist.loads(document, max_bytes=1 << 24) == "a" * 200_000
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    "value",
    [
        None,
        {"a": None},
        {1: "a"},
        {"a": {1, 2}},
        "bell\x07",
        "half \ud800 a pair",
        "not \ufffe",
        1 << 64,
        -(1 << 63) - 1,
        datetime(2026, 1, 1),
        [object()],
    ],
)
def test_what_a_property_list_cannot_hold_is_not_written(value: Any) -> None:
    with pytest.raises(BadValue):
        plist.dumps(value)


def test_times_are_written_in_utc() -> None:
    moment = datetime(2026, 11, 24, 13, 0, 0, 5, tzinfo=timezone(timedelta(hours=1)))
    assert b"<date>2026-11-24T12:00:00Z</date>" in plist.dumps(moment)
    for outside in (
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
        datetime(9999, 12, 31, 23, tzinfo=timezone(-timedelta(hours=2))),
    ):
        with pytest.raises(BadValue, match="in the years 1 to 9999"):
            plist.dumps(outside)
