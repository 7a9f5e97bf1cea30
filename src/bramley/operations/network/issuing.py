"""Issuing network identities over SCEP: to whoever brings a challenge that was made for one, and nothing else.

The request gives the key, and the template all the rest. Nothing is bound to the enrollment, so the certificate speaks for no
device: it is on record, told of by CRL and OCSP, and unknown where devices come.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from bramley.errors import BramleyError
from bramley.lifecycle import states
from bramley.model.enrollments import Enrollment, EnrollmentState
from bramley.model.lineages import Lineage, Policy, Version, VersionID, VersionState
from bramley.model.networks import NetworkChallenge, NetworkUse, kind_of, lineage_name
from bramley.operations import issuers, records
from bramley.operations.installation import Installation
from bramley.operations.issuing import RESEND_WINDOW, NotEntitled
from bramley.operations.live import Snapshot
from bramley.operations.network import templates
from bramley.operations.network.sending import OVER
from bramley.operations.profiles.making import values_for
from bramley.pki import certificates, oids
from bramley.pki.ca.authority import issue as certify
from bramley.pki.ca.profiles import PROFILE_RECIPIENT, CertificateProfile
from bramley.pki.scep import challenge as challenges
from bramley.pki.scep.messages import MessageType, Request
from bramley.profiles import network_profile
from bramley.profiles.network import LIFETIME_DAYS, Template
from bramley.storage.protocols import Tx

# Never without usages: with a host name in it, it would do for a server, and enrolled devices trust the root above.
USAGES: Final[Mapping[NetworkUse, tuple[str, ...]]] = MappingProxyType(
    {
        NetworkUse.WIFI: (oids.CLIENT_AUTH,),
        NetworkUse.VPN: (oids.CLIENT_AUTH,),
        NetworkUse.SMIME: (oids.EMAIL_PROTECTION,),
        NetworkUse.OTHER: (oids.CLIENT_AUTH, oids.EMAIL_PROTECTION),
    }
)
"""Extended key usages of the certificates that Bramley issues (RFC 5280 section 4.2.1.12)."""


def challenge_of(tx: Tx, request: Request) -> NetworkChallenge | None:
    """The challenge in a request, where it is one for a network identity."""
    return tx.networks.challenge(challenges.digest(request.challenge)) if request.challenge else None


def issue(tx: Tx, installation: Installation, snapshot: Snapshot, request: Request, now: datetime) -> Version:
    """One transaction: right checked, certificate made and recorded, challenge spent. NotEntitled for whatever is amiss."""
    challenge = challenge_of(tx, request)
    if challenge is None:
        raise NotEntitled("challenge-unknown", "The challenge in the request was never given out.")
    enrollment, again = _entitled(tx, request, challenge, now)
    if again is not None:
        return again
    template = _template(tx, installation, challenge, request)
    held = snapshot.authorities.identity
    try:
        names = network_profile.names(template, values_for(enrollment, installation.settings.organization))
        certificate = certify(
            held.authority,
            _certificate_profile(template),
            request.csr.public_key,
            subject=names.subject,
            sans=names.sans,
            now=now,
            lifetime=template.lifetime,
            status=issuers.status_urls(tx, installation.url, held.version),
        )
    except BramleyError as error:
        raise NotEntitled("request-denied", f"The template {template.name} makes no certificate: {error.message}") from error
    version = record(
        tx,
        installation,
        template,
        enrollment,
        certificate,
        issuer=held.version,
        transaction_id=request.transaction_id,
        now=now,
        actor=f"device:{enrollment.id or ''}",
    )
    if not tx.networks.spend(challenge.secret_sha256, now, message_sha256=request.message_sha256, version_id=version.id):
        raise NotEntitled("challenge-spent", "The challenge was spent by another request at the same moment.")
    return version


def record(
    tx: Tx,
    installation: Installation,
    template: Template,
    enrollment: Enrollment,
    certificate: x509.Certificate,
    *,
    issuer: VersionID | None,
    transaction_id: str = "",
    now: datetime,
    actor: str,
) -> Version:
    """A certificate as the next version of the enrollment's lineage after this template: issued, and not in force yet."""
    policy = Policy(template.lifetime, template.renew_at, installation.settings.identity.jitter)
    detail = {"template": template.name, "use": template.use, "route": template.issuer}
    return records.record(
        tx,
        _lineage(tx, enrollment, template, policy, now),
        certificate,
        state=VersionState.ISSUED,
        now=now,
        actor=actor,
        issuer=issuer,
        enrollment=enrollment.key,
        detail={**detail, **({"transaction": transaction_id} if transaction_id else {})},
    )


def _certificate_profile(template: Template) -> CertificateProfile:
    if template.only_decrypts:
        return PROFILE_RECIPIENT
    return CertificateProfile(
        name="network-identity",
        lifetime=timedelta(days=365),
        longest=timedelta(days=LIFETIME_DAYS[1]),
        key_usage=frozenset({"digital_signature", "key_encipherment"}),
        extended_key_usage=USAGES[template.use],
    )


def _lineage(tx: Tx, enrollment: Enrollment, template: Template, policy: Policy, now: datetime) -> Lineage:
    """As the template has it by now."""
    name = lineage_name(enrollment.key, template.name)
    lineage = records.lineage(tx, kind_of(template.name), name, policy, now=now, route=template.issuer)
    current = replace(lineage, policy=policy, route=template.issuer)
    if current != lineage:
        tx.lineages.update(current)
    return current


def _entitled(tx: Tx, request: Request, challenge: NetworkChallenge, now: datetime) -> tuple[Enrollment, Version | None]:
    """For whom the certificate is, and the one that was issued for the same message. NotEntitled."""
    if request.message_type is not MessageType.PKCSReq:
        raise NotEntitled("renewal-by-unknown-identity", "A network identity is renewed by a fresh challenge, not by itself.")
    signer = tx.enrollments.binding(certificates.sha256(request.signer_certificate))
    if signer is not None and signer.enrollment_key != challenge.enrollment_key:
        raise NotEntitled("challenge-of-another", "The challenge belongs to another enrollment than the signing identity.")
    enrollment = tx.enrollments.get(challenge.enrollment_key)
    if enrollment is None or enrollment.state is not EnrollmentState.ACTIVE:
        state = "gone" if enrollment is None else enrollment.state
        raise NotEntitled("enrollment-ended", f"The enrollment that this challenge belongs to is {state}.")
    assignment = tx.networks.get(enrollment.key, challenge.template)
    if assignment is None or assignment.state in OVER:
        raise NotEntitled("enrollment-ended", f"The device shall no longer have an identity after {challenge.template}.")
    if challenge.spent_at is not None:
        return enrollment, _again(tx, request, challenge, challenge.spent_at, now)
    if now > challenge.expires_at:
        raise NotEntitled("challenge-expired", f"The challenge expired at {challenge.expires_at:%Y-%m-%d %H:%M} UTC.")
    return enrollment, None


def _again(tx: Tx, request: Request, challenge: NetworkChallenge, spent_at: datetime, now: datetime) -> Version:
    same = challenge.spent_on == request.message_sha256
    if not same or challenge.version_id is None or now - spent_at > RESEND_WINDOW:
        raise NotEntitled("challenge-spent", "The challenge has been spent.")
    version = tx.lineages.version(challenge.version_id)
    if version is None or version.state not in states.LIVE:
        raise NotEntitled("challenge-spent", "The challenge was spent on a certificate that is no longer live.")
    return version


def _template(tx: Tx, installation: Installation, challenge: NetworkChallenge, request: Request) -> Template:
    template = templates.opened(tx, installation.sealer, challenge.template)
    key = request.csr.public_key
    if template.outside is not None:
        raise NotEntitled("request-denied", f"Identities after {template.name} come from an outside CA by now.")
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < template.key_size:
        raise NotEntitled("request-denied", f"Expected an RSA key of {template.key_size} bits or more; another came.")
    return template
