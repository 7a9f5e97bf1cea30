"""Where a connection to APNs ended before any answer, read off what libcurl says of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import pycurl


class Stage(StrEnum):
    """What a push passes, in this order. With a proxy, `name` and `connect` are about the proxy."""

    NAME = "name"
    CONNECT = "connect"
    PROXY = "proxy"
    TLS = "tls"
    HTTP2 = "http2"
    CERTIFICATE = "certificate"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a transfer came: name looked up, TCP connected, through the proxy (true where there is none), TLS done."""

    looked_up: bool = False
    connected: bool = False
    tunnelled: bool = True
    secured: bool = False


_PROXY_HANDSHAKE: Final = 97
"""CURLE_PROXY, which pycurl has no name for: a SOCKS proxy refused."""

_NAMES: Final = frozenset({pycurl.E_COULDNT_RESOLVE_HOST, pycurl.E_COULDNT_RESOLVE_PROXY})
_TLS: Final = frozenset({pycurl.E_PEER_FAILED_VERIFICATION, pycurl.E_SSL_CONNECT_ERROR, pycurl.E_SSL_CACERT_BADFILE})

_CERTIFICATE_ALERT: Final = re.compile(
    r"alert (?:(?:bad|unsupported|no) certificate|certificate |unknown ca\b|access denied|internal error)"
)
"""OpenSSL's words for the TLS alerts (RFC 8446, 6.2) about a client's certificate. `internal error` is what APNs itself sends."""


def failed_at(code: int, message: str, progress: Progress) -> Stage:
    """The stage at which a transfer ended, by libcurl's error code and message and the progress it had made."""
    if code in _NAMES:
        return Stage.NAME
    if code == pycurl.E_SSL_CERTPROBLEM or _CERTIFICATE_ALERT.search(message):
        return Stage.CERTIFICATE
    if progress.secured:
        # in TLS 1.3 a client is done before the server has looked at its certificate: whatever alert follows is about that
        return Stage.CERTIFICATE if "alert" in message else Stage.HTTP2
    if code in _TLS:
        return Stage.TLS
    if code == _PROXY_HANDSHAKE:
        return Stage.PROXY
    if not progress.connected:
        return Stage.CONNECT if progress.looked_up or code == pycurl.E_COULDNT_CONNECT else Stage.NAME
    return Stage.TLS if progress.tunnelled else Stage.PROXY
