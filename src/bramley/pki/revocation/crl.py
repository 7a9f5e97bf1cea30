"""Certificate revocation lists (RFC 5280 section 5): version 2, complete, for one issuer.

The DER is put together here: cryptography's builder makes an object of each entry, which costs several times more than the
entries' octets and the signature together (`tests/bench/revocation.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from types import MappingProxyType
from typing import Final

from cryptography import x509

from bramley.pki import certificates, names
from bramley.pki.ca.authority import Authority, authority_key_identifier
from bramley.pki.cms import der
from bramley.pki.errors import CannotIssue
from bramley.pki.revocation.entries import CRLReason, Revocation, identifier, signed
from bramley.pki.revocation.issuer import IssuerName

_CRL_NUMBER: Final = der.oid("2.5.29.20")
_REASON_CODE: Final = der.oid("2.5.29.21")
_AUTHORITY_KEY_IDENTIFIER: Final = der.oid("2.5.29.35")
_VERSION_2: Final = der.integer(1)


def build(
    authority: Authority, revoked: Iterable[Revocation], *, number: int, this_update: datetime, next_update: datetime
) -> bytes:
    """The DER CertificateList, signed by the issuer itself.

    It names its authority's key and its own number (sections 5.2.1 and 5.2.3), and has no distribution point: it is about
    all certificates of its issuer. The reason `unspecified` is left out, as section 5.3.1 wants. Raises CannotIssue where
    the CA may not sign CRLs.
    """
    _require_may_sign(authority.certificate)
    entries = _entries(revoked)
    content = der.sequence(
        _VERSION_2,
        identifier(authority.key),
        IssuerName.of(authority.certificate).name,
        der.time(this_update),
        der.time(next_update),
        der.element(0x30, entries) if entries else b"",
        der.context(0, der.sequence(*_extensions(authority.certificate, number))),
    )
    return der.sequence(content, *signed(content, authority.key))


def _entries(revoked: Iterable[Revocation]) -> bytes:
    times: dict[datetime, bytes] = {}  # a fleet is revoked in one moment, and writing a time costs most of an entry
    parts: list[bytes] = []
    for each in revoked:
        since = times.get(each.since)
        if since is None:
            since = times[each.since] = der.time(each.since)
        parts.append(der.element(0x30, der.integer(each.serial) + since + _REASONS[each.reason]))
    return b"".join(parts)


def _extension(oid: bytes, value: bytes) -> bytes:
    return der.sequence(oid, der.octet_string(value))


def _extensions(issuer: x509.Certificate, number: int) -> tuple[bytes, bytes]:
    key = authority_key_identifier(issuer).public_bytes()
    return _extension(_AUTHORITY_KEY_IDENTIFIER, key), _extension(_CRL_NUMBER, der.integer(number))


_REASONS: Final = MappingProxyType(
    {
        reason: der.sequence(_extension(_REASON_CODE, der.element(0x0A, bytes((reason,))))) if reason else b""
        for reason in CRLReason
    }
)


def _require_may_sign(issuer: x509.Certificate) -> None:
    usage = certificates.extension(issuer, x509.KeyUsage)
    if usage is not None and not usage.crl_sign:
        raise CannotIssue(f"The CA {names.text(issuer.subject)} may not sign CRLs: its certificate lacks cRLSign.")
