"""Whether whoever signed a profile could sign it today: what one signed whose certificate has ended, devices call Unverified."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from cryptography import x509

from bramley.pki import names
from bramley.profiles.rules.finding import Finding, Rule, error


def out_of_force(signer: x509.Certificate | None, now: datetime) -> Iterator[Finding]:
    """An error where the signer's certificate is not valid at `now`; nothing where nobody signed."""
    if signer is None:
        return
    begins, ends = signer.not_valid_before_utc, signer.not_valid_after_utc
    if not begins <= now <= ends:
        when = f"ended on {ends:%Y-%m-%d}" if now > ends else f"begins on {begins:%Y-%m-%d}"
        words = f"Expected a signer whose certificate is valid now; that of {names.text(signer.subject)[:255]} {when}."
        yield error("", Rule.SIGNER_IN_FORCE, words)
