"""Asking a timestamp authority over HTTP: OpenSSL's answers, and servers that say anything else or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from bramley.apple.errors import ServiceTrouble
from bramley.apple.timestamps import timestamp
from bramley.errors import OutsideTrouble
from bramley.pki import timestamps
from tests.pki.timestamps.authority import Authority, Forge, failure, make_authority, make_signer
from tests.pki.timestamps.serving import granting, serving

REPLY = "application/timestamp-reply"
MESSAGE = b"the value of a signature"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("tsa") / "tsa", make_signer())


async def ask(url: str, seconds: float = 20.0) -> timestamps.VerifiedTimestamp:
    return await timestamp(MESSAGE, url=url, seconds=seconds)


async def test_what_openssl_grants_is_taken_and_only_a_digest_was_sent(authority: Authority) -> None:
    with serving(granting(authority)) as served:
        found = await ask(served.url)
    assert found.certificate == authority.signer.certificate
    ((kind, query),) = served.heard
    assert kind == "application/timestamp-query"
    assert MESSAGE not in query


async def test_the_type_may_come_with_parameters_and_in_any_case(authority: Authority) -> None:
    with serving(lambda query: (200, "Application/Timestamp-Reply; charset=binary", authority.reply(query))) as served:
        assert (await ask(served.url)).certificate == authority.signer.certificate


Said = Callable[[Authority, bytes], tuple[int, str, bytes]]


def old(authority: Authority, _: bytes) -> tuple[int, str, bytes]:
    """A good answer to somebody's earlier request for the same."""
    return 200, REPLY, authority.reply(timestamps.request(MESSAGE).der)


def declined(authority: Authority, _: bytes) -> tuple[int, str, bytes]:
    return 200, REPLY, Forge(authority.signer, MESSAGE, 1, status=failure("system_failure", text="the clock stopped")).answer()


OTHERWISE: dict[str, tuple[Said, str]] = {
    "an old answer": (old, "does not hold.*nonce"),
    "declined": (declined, r"gives no timestamp: rejection \(the clock stopped, systemFailure\)"),
    "a page": (lambda *_: (200, "text/html", b"<html>"), "status 200 and 'text/html'"),
    "a page under a false flag": (lambda *_: (200, REPLY, b"<html>"), "does not hold.*no TimeStampResp"),
    "nothing": (lambda *_: (200, REPLY, b""), "does not hold"),
    "an error": (lambda authority, query: (500, REPLY, authority.reply(query)), "status 500"),
    "a redirect": (lambda authority, query: (302, REPLY, authority.reply(query)), "status 302"),
    "too much": (lambda *_: (200, REPLY, bytes(timestamps.LARGEST_ANSWER + 1)), "more than 65536 octets"),
}


@pytest.mark.parametrize("name", OTHERWISE)
async def test_everything_else_is_trouble_outside(name: str, authority: Authority) -> None:
    said, words = OTHERWISE[name]
    with serving(lambda query: said(authority, query)) as served, pytest.raises(ServiceTrouble, match=words) as caught:
        await ask(served.url)
    assert isinstance(caught.value, OutsideTrouble)


async def test_a_server_that_says_nothing_or_is_not_there() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with server:
        with pytest.raises(ServiceTrouble, match=r"did not answer within 0\.2 seconds"):
            await ask(url, seconds=0.2)
    with pytest.raises(ServiceTrouble, match="was not reached"):
        await ask(url)
