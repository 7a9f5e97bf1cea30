"""What every profile must be that goes to devices, be it kept or sent by hand."""

from __future__ import annotations

from datetime import datetime

from bramley.operations.enrollment_profiles import IDENTIFIER_PREFIX
from bramley.operations.errors import Invalid
from bramley.profiles import immutable, validate
from bramley.profiles.documents import Document, DocumentKind
from bramley.profiles.rules import Finding, signer


def accept(document: Document, now: datetime) -> tuple[Finding, ...]:
    """What deserves a look in a profile that devices may get. Payloads that are encrypted cannot be looked into.

    BadProfile where a rule is broken, whoever signed it; Invalid where a rule is ours: an MDM payload, or an identifier that this
    server uses itself.
    """
    identifier, content = document.identifier or "", document.content
    if identifier == IDENTIFIER_PREFIX or identifier.startswith(f"{IDENTIFIER_PREFIX}."):
        raise Invalid(
            f"Identifiers that begin with {IDENTIFIER_PREFIX}. are this server's own; {identifier} came.",
            advice="Give the profile another PayloadIdentifier.",
        )
    if content is not None and immutable.managing(content):
        raise Invalid(
            "The profile has an MDM payload: a device that has one already refuses a second.",
            advice="Enrollment profiles come from `bramley enroll link`.",
        )
    as_it_is = document.kind is not DocumentKind.PLAIN
    judged = () if content is None else validate.check(content, as_it_is=as_it_is)
    found = (*signer.out_of_force(document.signer, now), *judged)
    validate.refuse(found)
    return found
