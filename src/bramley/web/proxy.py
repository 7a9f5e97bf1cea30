"""What a proxy in front says of a request: who called it, and which certificate the device showed it.

Believed from the addresses in `proxy.addresses` alone. From everybody else such headers are taken out before anyone can
read them: whoever could write them could be any device whose certificate is known, and certificates are no secrets.
"""

from __future__ import annotations

import ipaddress
import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import unquote_to_bytes

import structlog

from bramley.mdm.errors import Refusal, Refused
from bramley.pki import certificates
from bramley.pki.errors import BadCertificate
from bramley.settings import Proxy
from bramley.web.addresses import IPAddress, parse
from bramley.web.asgi import Scope
from bramley.web.metrics import Metrics
from bramley.web.protocol import TLS_EXTENSION

PROXY_EXTENSION: Final = "bramley.proxy"
"""`scope["extensions"]["bramley.proxy"]`: {"client_cert": values of the header}, from a proxy that is believed."""

_FORWARDED: Final = frozenset({b"x-forwarded-for", b"forwarded"})
_PEM_MARK: Final = b"-----BEGIN "
_FOR: Final = re.compile(r'(?:^|;)\s*for\s*=\s*("[^"]*"|[^;\s]*)', re.IGNORECASE)
_WITH_PORT: Final = re.compile(r"\[([^\]]*)\](?::\d+)?|([^:]*):\d+")

log = structlog.get_logger("bramley.web.proxy")


class Proxies:
    """The proxies of one installation."""

    def __init__(self, settings: Proxy, metrics: Metrics) -> None:
        self._networks = tuple(map(ipaddress.ip_network, settings.addresses))
        self._certificate = settings.client_certificate.lower().encode() or b"client-cert"
        self._certificate_believed = bool(settings.client_certificate)
        self._forwarded = settings.forwarded.lower().encode()
        self._names = _FORWARDED | {self._certificate}
        self._metrics = metrics

    def trusts(self, peer: str) -> bool:
        """Whether the peer of a connection is one of the proxies."""
        address = parse(peer)
        return address is not None and any(address in network for network in self._networks)

    def settle(self, scope: Scope) -> None:
        """Takes the proxies' headers out of a request.

        From a proxy, `scope["client"]` becomes whoever called it, and the certificate goes where `passed_certificate` finds
        it; from anybody else they are counted and forgotten. A listener that asks for certificates itself hears no other's.
        """
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        if not any(name in self._names for name, _value in headers):
            return
        scope["headers"] = [(name, value) for name, value in headers if name not in self._names]
        shown = tuple(value for name, value in headers if name == self._certificate)
        peer = str((scope.get("client") or ("",))[0])
        extensions = scope.get("extensions") or {}
        proxy = self.trusts(peer)
        if proxy:
            hops = [value.decode("latin-1") for name, value in headers if name == self._forwarded]
            scope["client"] = (self._caller(peer, hops), 0)
        elif any(name in _FORWARDED for name, _value in headers):
            self._metrics.ignored("forwarded")
        if shown and proxy and self._certificate_believed and TLS_EXTENSION not in extensions:
            scope["extensions"] = {**extensions, PROXY_EXTENSION: {"client_cert": shown}}
        elif shown:
            self._metrics.ignored("client-certificate")
            log.info("client certificate header ignored", client=peer)

    def _caller(self, peer: str, values: Sequence[str]) -> str:
        """The rightmost hop that is none of the proxies; what stands left of it may have been written by anybody."""
        caller = peer
        elements = list(_elements(",".join(values)))
        for element in reversed(elements):
            address = _hop(element if self._forwarded == b"x-forwarded-for" else _node(element))
            if address is None:
                break  # "unknown", an obfuscated name, or nonsense: nobody further left is known to be true
            caller = str(address)
            if not self.trusts(caller):
                break
        return caller


def passed_certificate(scope: Scope) -> bytes | None:
    """The certificate (DER) that a believed proxy passed on; None where it passed on none.

    Either as RFC 9440 2.2 has it, a byte sequence between colons, or as PEM in percent-encoding, which is nginx's
    `$ssl_client_escaped_cert`. Refused for anything else.
    """
    values: Sequence[bytes] = (scope.get("extensions") or {}).get(PROXY_EXTENSION, {}).get("client_cert", ())
    if not values:
        return None
    if len(values) > 1:
        raise _unreadable(f"{len(values)} headers came")
    value = values[0].strip()
    try:
        if value.startswith(b":") and value.endswith(b":"):
            certificate = certificates.load(b64decode(value[1:-1], validate=True))
        elif (text := unquote_to_bytes(value)).startswith(_PEM_MARK):
            certificate = certificates.load(text)
        else:
            raise _unreadable("what came is neither")
    except (Base64Error, BadCertificate) as error:
        raise _unreadable(str(error)) from None
    return certificates.der(certificate)


def _unreadable(what: str) -> Refused:
    return Refused(
        Refusal.BAD_CERTIFICATE_HEADER,
        f"Expected one certificate from the proxy, as :base64: (RFC 9440) or as escaped PEM; {what}.",
        advice="Compare the proxy's configuration with docs/how-to/behind-nginx.md.",
    )


def _elements(value: str) -> Iterator[str]:
    """The members of a comma-separated list (RFC 9110 5.6.1), whose quoted strings may hold commas."""
    for element in re.findall(r'(?:"[^"]*"|[^,"])+', value):
        if element.strip():
            yield element.strip()


def _node(element: str) -> str:
    """Who is meant by `for=` in an element of Forwarded (RFC 7239 6); empty where it says nothing."""
    found = _FOR.search(element)
    return found[1].strip('"') if found else ""


def _hop(text: str) -> IPAddress | None:
    """An address, with or without a port."""
    found = _WITH_PORT.fullmatch(text)
    return parse(text) or (parse(found[1] or found[2] or "") if found else None)
