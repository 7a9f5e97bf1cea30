"""Fetching Apple's CA certificates from Apple's page.

What is downloaded counts only if it chains to a pinned root, so neither TLS nor the page is trusted for anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID, ObjectIdentifier

from bramley.apple.errors import ServiceTrouble
from bramley.apple.http import DIRECT, HTTP, exchange
from bramley.apple.push_certificate.apple_cas import APPLE_ROOTS, CA_PAGE, build_chain, check_dates, read_cas
from bramley.apple.push_certificate.errors import BadChain

LARGEST: Final = 64 * 1024
"""Most octets of one certificate that is fetched; Apple's have about a thousand."""

MOST_REDIRECTS: Final = 3

_GENERATION: Final = re.compile(r"G[1-9][0-9]?")
_ROOT_GENERATION: Final = re.compile(r" - (G[1-9][0-9]?)$")
_HEADERS: Final = {"Accept": "*/*"}
"""Apple's server wants this header."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where Apple's CA certificates are.

    `intermediates` is the folder, its slash included, of the intermediates and of the younger roots; `root` the file of the
    oldest root, Apple Root CA.
    """

    intermediates: str = CA_PAGE
    root: str = "https://www.apple.com/appleca/AppleIncRootCertificate.cer"


async def fetch_cas(
    leaf: x509.Certificate,
    *,
    now: datetime,
    places: Places = Places(),
    http: HTTP = DIRECT,
    roots: frozenset[str] = APPLE_ROOTS,
) -> tuple[x509.Certificate, ...]:
    """The CAs above the leaf, its issuer first, the root last, as `build_chain` takes them and has already taken them.

    The generation is the OU of the leaf's issuer. Raises BadChain, before anything is fetched, for a leaf that is not valid at
    `now`; ServiceTrouble where a file does not come, or what comes is not the certificate that was asked for.
    """
    check_dates(leaf, now)
    intermediate = await _fetch(places.intermediates + _intermediate_file(leaf), http)
    root = await _fetch(_root_url(intermediate, places), http)
    try:
        return build_chain(leaf, (intermediate, root), roots=roots, now=now)[1:]
    except BadChain as error:
        raise ServiceTrouble(
            f"The certificates that came do not complete the chain. {error.message}",
            advice=f"Download the issuer's certificate and Apple's root from {CA_PAGE} and give them as files.",
        ) from None


def _intermediate_file(leaf: x509.Certificate) -> str:
    found = _GENERATION.fullmatch(_value(leaf.issuer, NameOID.ORGANIZATIONAL_UNIT_NAME))
    return f"AppleWWDRCA{found[0] if found else ''}.cer"


def _root_url(intermediate: x509.Certificate, places: Places) -> str:
    found = _ROOT_GENERATION.search(_value(intermediate.issuer, NameOID.COMMON_NAME))
    return f"{places.intermediates}AppleRootCA-{found[1]}.cer" if found else places.root


def _value(name: x509.Name, oid: ObjectIdentifier) -> str:
    return next((str(attribute.value) for attribute in name.get_attributes_for_oid(oid)), "")


async def _fetch(url: str, http: HTTP) -> x509.Certificate:
    """The one certificate at an address, redirects followed to https only."""
    at = url
    for _ in range(MOST_REDIRECTS + 1):
        answer = await exchange(http, "GET", at, headers=_HEADERS, limit=LARGEST)
        if answer.location is None:
            break
        at = answer.location
    else:
        raise ServiceTrouble(f"{url} was redirected more than {MOST_REDIRECTS} times.", advice="Try again later.")
    if answer.status != 200:
        raise ServiceTrouble(f"{url} answered with status {answer.status}; a certificate was expected.")
    try:
        found = read_cas(answer.body)
    except BadChain:
        raise ServiceTrouble(f"{url} answered with something that is not a certificate.") from None
    if len(found) != 1:
        raise ServiceTrouble(f"{url} answered with {len(found)} certificates; one was expected.")
    return found[0]
