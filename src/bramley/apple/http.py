"""The one way to ask a web service: HTTPS, bounded in time and size, every failure one error.

No proxy or certificate bundle is taken from the environment: settings decide.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import httpx2

from bramley import __version__
from bramley.apple.errors import ServiceTrouble
from bramley.pki import certificates
from bramley.pki.errors import BadCertificate

_HEADERS: Final = {"User-Agent": f"bramley/{__version__}", "Accept-Encoding": "identity"}
"""Uncompressed, so that the limit holds for what arrives and not only for what was sent."""


@dataclass(frozen=True, slots=True)
class HTTP:
    """How to reach the web. `ca_pem` replaces the machine's roots; `proxy` is a URL, None for none; a request has `seconds`.

    `in_clear` allows http:// for messages that protect themselves.
    """

    ca_pem: bytes | None = None
    proxy: str | None = field(default=None, repr=False)
    seconds: float = 10.0
    in_clear: bool = False


DIRECT: Final = HTTP()
"""The machine's own roots, no proxy."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. `location` is where a redirect leads, None for any other status; `content_type` is "" where none came."""

    status: int
    body: bytes = field(repr=False)
    location: str | None = None
    content_type: str = ""


async def exchange(
    http: HTTP, method: str, url: str, *, headers: Mapping[str, str], limit: int, content: bytes | None = None
) -> Answer:
    """One request over HTTPS and its answer, redirects not followed.

    Raises ServiceTrouble, which names the host and never the content, for whatever the network does wrong, an answer over
    `limit` octets, and a URL that is not https.
    """
    host = _host(url, in_clear=http.in_clear)
    try:
        async with (
            asyncio.timeout(http.seconds),
            _client(http) as client,
            client.stream(method, url, headers={**_HEADERS, **headers}, content=content) as response,
        ):
            body = bytearray()
            async for piece in response.aiter_raw():
                body += piece
                if len(body) > limit:
                    raise ServiceTrouble(f"{host} answered with more than {limit} octets.")
            location = str(response.url.join(response.headers["location"])) if response.has_redirect_location else None
            return Answer(response.status_code, bytes(body), location, response.headers.get("content-type", ""))
    except TimeoutError:
        raise ServiceTrouble(f"{host} did not answer within {http.seconds:g} seconds.", advice="Try again later.") from None
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
        # the text of an error may repeat the proxy with its password, so only its kind is told
        raise ServiceTrouble(
            f"{host} was not reached: {_kind(error)}.",
            advice="Check the address, the network, the proxy and the trusted roots, then try again.",
        ) from None


def _host(url: str, *, in_clear: bool) -> str:
    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, TypeError, ValueError):
        raise ServiceTrouble("Expected an address that starts with https://; what came is none.") from None
    if not (parsed.scheme == "https" or (in_clear and parsed.scheme == "http")) or not parsed.host:
        raise ServiceTrouble(
            f"Expected an address that starts with https://; this one starts with {parsed.scheme or 'no scheme'}.",
            advice="Nothing is sent or fetched in clear.",
        )
    return parsed.host


def _client(http: HTTP) -> httpx2.AsyncClient:
    context = _tls(http)
    try:
        # no timeouts of the client's own: they would start again with every piece that comes
        return httpx2.AsyncClient(verify=context, proxy=http.proxy, timeout=None, trust_env=False)
    except (ValueError, httpx2.InvalidURL):
        raise ServiceTrouble(
            "Expected the proxy as an address that starts with http://; what came is none.", advice="Correct it in the settings."
        ) from None


def _tls(http: HTTP) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if http.ca_pem is None:
        context.load_default_certs()
        return context
    try:
        context.load_verify_locations(cadata=b"".join(map(certificates.der, certificates.load_chain(http.ca_pem))))
    except (BadCertificate, ssl.SSLError):
        raise ServiceTrouble(
            "Expected the trusted roots as PEM certificates; what came cannot be read.",
            advice="Correct the file in the settings.",
        ) from None
    return context


def _kind(error: BaseException) -> str:
    """What went wrong in a few words: the class, and OpenSSL's own word for what it refused."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed ({getattr(cause, 'verify_message', '') or cause.reason or 'no reason given'})"
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__
