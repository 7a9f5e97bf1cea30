"""What can go wrong with this server's own certificate."""

from __future__ import annotations

from bramley.errors import BadInput, BramleyError


class TLSError(BramleyError):
    """The root of everything that this package raises on purpose."""


class BadServerCertificate(TLSError, BadInput):
    """A certificate, chain and key that no listener can present; the one in force stays."""
