"""Network identities that a device lists: what was issued is in force, and what an outside CA has issued becomes known.

The list is the device's word. It is believed for what it decides: when the next one is due. A certificate of an outside CA is
taken for that of a template where the template's CA has signed it, and every attribute of the subject asked for is in its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from cryptography import x509

from bramley.errors import BramleyError
from bramley.lifecycle import schedule
from bramley.mdm.token_update import leave_delivery
from bramley.model.enrollments import Enrollment
from bramley.model.lineages import Version, VersionState
from bramley.model.networks import RECIPIENT, NetworkAssignment, NetworkIssuer, NetworkState
from bramley.operations import records
from bramley.operations.installation import Installation
from bramley.operations.network import issuing, templates
from bramley.operations.network.sending import OVER, WAKE_EVERY
from bramley.operations.network.standing import in_force, versions
from bramley.operations.profiles.making import values_for
from bramley.pki import certificates
from bramley.pki.errors import BadCertificate
from bramley.profiles import network_profile
from bramley.profiles.network import OutsideCA
from bramley.storage.protocols import Tx

UNSEEN = "installed, and the device lists no certificate of the outside CA with the subject of the template"


def identities(listed: Iterable[bytes]) -> list[x509.Certificate]:
    """What of a device's identities (DER) can be read; the rest cannot be one of ours."""
    found = []
    for der in listed:
        try:
            certificate = certificates.load(der)
            certificates.public_key(certificate)
        except BadCertificate:
            continue
        found.append(certificate)
    return found


def seen(
    tx: Tx, installation: Installation, enrollment: Enrollment, listed: Sequence[x509.Certificate], *, now: datetime, actor: str
) -> None:
    """Takes notice of the identities that a device lists."""
    there = {certificates.sha256(each): each for each in listed}
    for assignment in tx.networks.of(enrollment.key):
        if assignment.state in OVER:
            continue
        news = [
            version
            for version in versions(tx, enrollment.key, assignment.template)
            if version.state is VersionState.ISSUED and version.sha256 in there
        ]
        news += _from_outside(tx, installation, enrollment, assignment, list(there.values()), now, actor)
        if news:
            latest = max(news, key=lambda version: version.number)
            take_into_use(tx, assignment, latest, now=now, actor=actor)
        elif _is_unseen(tx, assignment):
            tx.networks.put(replace(assignment, problem=UNSEEN, changed_at=now, look_at=now + WAKE_EVERY))


def take_into_use(tx: Tx, assignment: NetworkAssignment, version: Version, *, now: datetime, actor: str) -> None:
    """Puts an issued certificate in force, and notes when the next one is due."""
    if version.state is VersionState.ISSUED:
        records.promote(tx, version, now=now, actor=actor, enrollment=assignment.enrollment_key)
    active = in_force(tx, assignment.enrollment_key, assignment.template)
    due = schedule.due_at(*active) if active else None
    tx.networks.put(replace(assignment, state=NetworkState.INSTALLED, changed_at=now, look_at=due, attempts=0, problem=""))
    if assignment.template == RECIPIENT:
        # what waits for the device waits for this, or may be encrypted to the one before
        leave_delivery(tx, assignment.enrollment_key, now)


def _is_unseen(tx: Tx, assignment: NetworkAssignment) -> bool:
    stored = tx.networks.template(assignment.template)
    outside = stored is not None and stored.issuer is NetworkIssuer.OUTSIDE
    installed = assignment.state is NetworkState.INSTALLED
    return outside and installed and in_force(tx, assignment.enrollment_key, assignment.template) is None


def _from_outside(
    tx: Tx,
    installation: Installation,
    enrollment: Enrollment,
    assignment: NetworkAssignment,
    listed: Sequence[x509.Certificate],
    now: datetime,
    actor: str,
) -> list[Version]:
    """The latest certificate that the template's outside CA has issued to the device, and that is on no record yet."""
    stored = tx.networks.template(assignment.template)
    if stored is None or stored.issuer is not NetworkIssuer.OUTSIDE:
        return []
    template = templates.opened(tx, installation.sealer, assignment.template)
    try:
        wanted = network_profile.names(template, values_for(enrollment, installation.settings.organization)).subject
    except BramleyError:
        return []  # what it was called by when it was sent has changed since: the next delivery says so
    if template.outside is None:
        raise AssertionError("a template with an outside issuer says which")
    found = [each for each in listed if _is_of(each, template.outside, wanted)]
    fresh = [each for each in found if tx.lineages.by_sha256(certificates.sha256(each)) is None]
    if not fresh:
        return []
    latest = max(fresh, key=lambda each: each.not_valid_before_utc)
    active = in_force(tx, assignment.enrollment_key, assignment.template)
    if active is not None and active[0].not_before is not None and latest.not_valid_before_utc < active[0].not_before:
        return []
    return [issuing.record(tx, installation, template, enrollment, latest, issuer=None, now=now, actor=actor)]


def _is_of(certificate: x509.Certificate, outside: OutsideCA, wanted: x509.Name) -> bool:
    has = {(attribute.oid, attribute.value) for attribute in certificate.subject}
    if any((attribute.oid, attribute.value) not in has for attribute in wanted):
        return False
    return certificates.issued_by(certificate, outside.ca)
