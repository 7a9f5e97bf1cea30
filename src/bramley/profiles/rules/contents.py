"""What the octets in a payload are: certificates, archives, digests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from bramley.pki import certificates, pkcs12
from bramley.pki.errors import BadArchive, BadCertificate, BadFile, BadKey, WrongPassword
from bramley.pki.forms import Form
from bramley.pki.pieces import take_apart
from bramley.profiles.rules.finding import Finding, Rule, error, warning, within
from bramley.profiles.rules.keys import Context, Payload

_SHA256_OCTETS: Final = 32


def certificate_in_der(payload: Payload, path: str, context: Context) -> Iterator[Finding]:
    """One certificate; devices take PEM here too, though Apple says DER."""
    yield from _certificate(payload["PayloadContent"], within(path, "PayloadContent"), pem=False)


def certificate_in_pem(payload: Payload, path: str, context: Context) -> Iterator[Finding]:
    """One certificate as text, and no key beside it."""
    yield from _certificate(payload["PayloadContent"], within(path, "PayloadContent"), pem=True)


def archive(payload: Payload, path: str, context: Context) -> Iterator[Finding]:
    """A PKCS#12 archive that the password in the payload opens. Without one, a person is asked, and nothing can be tried."""
    password = payload.get("Password")
    at = within(path, "PayloadContent")
    if password is None:
        yield warning(within(path, "Password"), Rule.ARCHIVE_OPENS, "Expected a Password; without one a person has to type it.")
        return
    if "{{" in password:
        return
    try:
        pkcs12.read(payload["PayloadContent"], password)
    except WrongPassword as wrong:
        yield error(within(path, "Password"), Rule.ARCHIVE_OPENS, wrong.message)
    except (BadArchive, BadCertificate) as wrong:
        yield error(at, Rule.ARCHIVE_OPENS, wrong.message)
    except BadKey as weak:
        yield warning(at, Rule.STRENGTH, weak.message)


def hashes(payload: Payload, path: str, context: Context) -> Iterator[Finding]:
    """SHA-256 digests have 32 octets."""
    for name in ("DisabledForCerts", "EnabledForCerts"):
        for at, entry in enumerate(payload.get(name, ())):
            length = len(entry["Hash"])
            if length != _SHA256_OCTETS:
                words = f"Expected the 32 octets of a SHA-256 digest of a SubjectPublicKeyInfo; {length} came."
                yield error(within(path, f"{name}[{at}].Hash"), Rule.DIGEST, words)


def _certificate(content: Any, path: str, *, pem: bool) -> Iterator[Finding]:
    try:
        pieces = take_apart(content)
        forms = [piece.form for piece in pieces]
        if forms != [Form.CERTIFICATE]:
            came = forms[0] if len(forms) == 1 else f"{len(forms)} things"
            yield error(path, Rule.CERTIFICATE, f"Expected one certificate by itself; {came} came.")
            return
        certificates.load(pieces[0].content)
    except (BadFile, BadCertificate) as wrong:
        yield error(path, Rule.CERTIFICATE, wrong.message)
        return
    if pem != (pieces[0].content != content):
        wanted, came = ("PEM", "DER") if pem else ("DER", "PEM")
        yield warning(path, Rule.CERTIFICATE, f"Expected the certificate in {wanted}, as the type has it; {came} came.")
