"""Asking a web service that may say anything, or nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bramley.apple.errors import ServiceTrouble
from bramley.apple.http import HTTP, Answer, exchange
from bramley.errors import OutsideTrouble
from tests.apple.site import HANG, Site, answer, redirect, site

LIMIT = 100


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as made:
        yield made


async def ask(service: Site, http: HTTP | None = None, url: str = "", content: bytes | None = None) -> Answer:
    way = http or HTTP(service.ca_pem, seconds=5.0)
    method = "GET" if content is None else "POST"
    return await exchange(way, method, url or service.url, headers={"X-Own": "yes"}, limit=LIMIT, content=content)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (answer(200, b"x" * LIMIT), Answer(200, b"x" * LIMIT)),
        (answer(500, b"sorry"), Answer(500, b"sorry")),
        (redirect("/elsewhere"), Answer(302, b"", "elsewhere")),
        (redirect("https://other.example/"), Answer(302, b"", "https://other.example/")),
        (answer(302), Answer(302, b"")),
    ],
    ids=["as much as may be", "an error", "redirect within", "redirect away", "redirect to no place"],
)
async def test_a_whole_answer_is_handed_on_and_no_redirect_followed(service: Site, said: bytes, expected: Answer) -> None:
    service.answers["/"] = said

    got = await ask(service, content=b"a question")

    location = f"{service.url}{expected.location}" if expected.location == "elsewhere" else expected.location
    assert (got.status, got.body, got.location) == (expected.status, expected.body, location)
    (heard,) = service.heard
    head, _blank, body = heard.partition(b"\r\n\r\n")
    assert body == b"a question"
    assert {b"X-Own: yes", b"Accept-Encoding: identity"} <= set(head.split(b"\r\n"))
    assert b"\r\nUser-Agent: bramley/" in head


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (answer(200, b"0" * (LIMIT + 1)), "more than 100 octets"),
        (answer(200, b"0" * (LIMIT + 1), "Content-Encoding: gzip"), "more than 100 octets"),
        (b"220 mail.example ESMTP\r\n", "localhost was not reached"),
        (answer(200, b"1234567")[:-3], "localhost was not reached"),
    ],
    ids=["too large", "too large and compressed", "no HTTP", "cut off"],
)
async def test_what_is_no_whole_answer_is_one_clear_error(service: Site, said: bytes, why: str) -> None:
    service.answers["/"] = said
    with pytest.raises(ServiceTrouble, match=why) as caught:
        await ask(service)
    assert isinstance(caught.value, OutsideTrouble)


async def test_the_way_there(service: Site) -> None:
    """No answer, no trust, no server, no proxy, no https: each says so, none tells the proxy's password."""
    service.answers["/"] = HANG
    known = service.ca_pem
    rows = [
        (HTTP(known, seconds=0.3), "", "did not answer within 0.3 seconds"),
        (HTTP(), "", "TLS failed"),
        (HTTP(b"no roots"), "", "trusted roots as PEM"),
        (HTTP(b""), "", "trusted roots as PEM"),
        (HTTP(known), "https://localhost:1/", "localhost was not reached: ConnectError"),
        (HTTP(known), "http://localhost/", "starts with http[^s]"),
        (HTTP(known), "file:///etc/passwd", "starts with file"),
        (HTTP(known), "nonsense", "starts with no scheme"),
        (HTTP(known), "https://a\nb/", "what came is none"),
        (HTTP(known, proxy="http://u:s3cret@localhost:1"), "", "localhost was not reached"),
        (HTTP(known, proxy="s3cret"), "", "proxy as an address"),
    ]
    for way, url, said in rows:
        with pytest.raises(ServiceTrouble, match=said) as caught:
            await ask(service, way, url)
        assert "s3cret" not in str(caught.value) + repr(way)
        assert caught.value.__cause__ is None
