"""The certificate that running listeners present, and its replacement without a restart."""

from __future__ import annotations

import secrets
import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from bramley.pki import certificates, keys
from bramley.pki.errors import BadCertificate
from bramley.tls.errors import BadServerCertificate

_NO_CHECK_TIME: Final = ssl.VerifyFlags(0x200000)
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME, for which the ssl module has no name."""


@dataclass(frozen=True, slots=True)
class ServerPair:
    """What a listener presents: PEM certificates, the server's own first, and the private key of that one."""

    chain_pem: bytes
    key: keys.PrivateKey = field(repr=False)


class LiveCertificate:
    """The server certificate in force.

    `context` makes the TLS context of one listener; `replace` changes what every listener presents to connections that
    are opened from then on. Connections already open keep what they have.
    """

    def __init__(self, pair: ServerPair) -> None:
        """Raises BadServerCertificate where the pair cannot be presented."""
        _context(pair, None)
        self._pair = pair
        self._listeners: list[_Listener] = []

    def context(self, client_ca: Sequence[x509.Certificate] | None = None) -> ssl.SSLContext:
        """The context of one listener: TLS 1.2 or later, ALPN `http/1.1`.

        With `client_ca` it asks for a client certificate without insisting on one. A certificate by another issuer ends
        the handshake; an expired one passes, so that it can be refused by name: whoever reads it must check its dates.
        """
        listener = _Listener(client_ca, _context(self._pair, client_ca))
        base = listener.current

        def choose(connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
            # Also called where the client names no host. Verify mode and flags stay those of the base, which is why a
            # listener either asks for client certificates for good or never does.
            if listener.current is not base:
                connection.context = listener.current

        base.sni_callback = choose
        self._listeners.append(listener)
        return base

    def replace(self, pair: ServerPair, client_ca: Sequence[x509.Certificate] | None = None) -> None:
        """Presents `pair` from now on; `client_ca`, where given, is what listeners that ask for certificates trust from now on.

        Raises BadServerCertificate where the pair cannot be presented; then nothing has changed.
        """
        _context(pair, None)
        replaced = []
        for listener in self._listeners:
            trusted = listener.client_ca if client_ca is None or listener.client_ca is None else client_ca
            replaced.append((listener, trusted, _context(pair, trusted)))
        for listener, trusted, context in replaced:
            listener.client_ca, listener.current = trusted, context
        self._pair = pair


@dataclass(slots=True)
class _Listener:
    """The context that new connections of one listener get, and whose client certificates it takes."""

    client_ca: Sequence[x509.Certificate] | None
    current: ssl.SSLContext


def _context(pair: ServerPair, client_ca: Sequence[x509.Certificate] | None) -> ssl.SSLContext:
    # A fresh context each time: loading an EC pair into one that has an RSA pair would leave both in use.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    # TLS 1.3 tickets are a sixth of a handshake's cost here, and a quarter where they carry a client certificate. A device
    # that a push wakes hours later has none of them left that would still be good.
    context.num_tickets = 0
    _load(context, pair)
    if client_ca is not None:
        context.load_verify_locations(cadata=b"".join(map(certificates.der, client_ca)))
        context.verify_mode = ssl.CERT_OPTIONAL
        # An issuing CA is trusted by itself: devices need not send the way up to the root.
        context.verify_flags |= _NO_CHECK_TIME | ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _load(context: ssl.SSLContext, pair: ServerPair) -> None:
    """Loads the pair by way of a file, since the ssl module reads nothing else: encrypted, ours alone, gone at once."""
    try:
        leaf = certificates.load_chain(pair.chain_pem)[0]
        matching = certificates.matches(leaf, pair.key.public_key())
    except BadCertificate as error:
        raise BadServerCertificate(f"The server certificate cannot be used. {error.message}", advice=error.advice) from None
    if not matching:
        raise BadServerCertificate(
            "The private key given for the server certificate belongs to another certificate.",
            advice="Put the server's own certificate first in the chain, and give the key that it was made for.",
        )
    password = secrets.token_bytes(32).hex().encode()
    sealed = pair.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password),
    )
    with tempfile.TemporaryDirectory(prefix="bramley-tls-") as folder:
        path = Path(folder, "pair.pem")
        path.touch(mode=0o600)
        path.write_bytes(sealed + pair.chain_pem)
        try:
            context.load_cert_chain(path, password=password)
        except ssl.SSLError as error:
            raise BadServerCertificate(
                f"OpenSSL cannot present the server certificate: {error.reason or error}.",
                advice="Use RSA of 2048 bits or more, P-256 or P-384, and SHA-256 or better throughout the chain.",
            ) from None
