"""Identities that an outside CA gives to devices without us: known by a token in the device's own URLs.

The device fetches its identity from the outside CA by itself, so nothing of ours vouches that it is this device's. What does is
a token in its ServerURL and CheckInURL, made for its enrollment: the first Authenticate with a certificate of the trusted CA, and
the token, binds the two. A further certificate is taken only for a renewal that this server has asked for, once each time.
Anything weaker would let the first certificate that claims a device be that device.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Callable
from datetime import datetime
from typing import Final
from urllib.parse import parse_qs

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from bramley.mdm.errors import Refusal, Refused
from bramley.mdm.identity import VerifiedSigner
from bramley.mdm.messages import CheckinMessage
from bramley.mdm.report import Report
from bramley.model.enrollments import EnrollmentKey, EnrollmentState, IdentityRoute, Presented, Purpose
from bramley.operations import issuing, outside_scep
from bramley.operations.errors import NotReady
from bramley.operations.installation import Installation
from bramley.operations.issuing import Grant, NotEntitled, Outside
from bramley.operations.live import Live
from bramley.operations.trusted_cas import TrustedCA
from bramley.pki import certificates
from bramley.pki.keystore import Place
from bramley.storage.protocols import Tx

INVARIANTS: Final = "url-token"
"""`Enrollment.invariants` of a device whose URLs hold a token: they may never change."""

_PARAMETER: Final = "device"
_NOTE: Final = "url-token-secret"
_PLACE: Final = Place("note", _NOTE, "secret")
_LONGEST: Final = 512


async def query_for(installation: Installation, key: EnrollmentKey) -> str:
    """What follows the question mark in the URLs of a device."""
    secret = await installation.store.run(lambda tx: _secret(tx, installation))
    return f"{_PARAMETER}={key}.{_token(secret, key)}"


async def introduce(
    live: Live,
    signer: VerifiedSigner,
    message: CheckinMessage | Report,
    query: bytes,
    now: datetime,
    check: Callable[[Presented | None], object],
) -> Presented:
    """Binds a certificate of the outside CA to the enrollment that the query proves; Refused as an unknown identity otherwise.

    `check` raises where the message may not come with the identity as it is then presented: nothing is bound by one that is
    refused. An enrollment is begun by Authenticate alone; after a renewal any message may be the first.
    """
    installation = live.installation
    certificate = certificates.load(signer.certificate)
    ca = _issuer(live, certificate, signer)
    # whoever guesses does not get as far as the one writer
    key = await installation.store.read(lambda tx: _proven(tx, installation, query))
    if key is None:
        raise _unknown(signer, "no token for a device came with it")

    def act(tx: Tx) -> Presented:
        enrollment = tx.enrollments.get(key)
        if enrollment is None or enrollment.invariants != INVARIANTS:
            raise _unknown(signer, "the token is for no enrollment that has one")
        purpose = Purpose.ENROLL if enrollment.state is EnrollmentState.PENDING else Purpose.RENEW
        challenge = next((each for each in tx.challenges.unspent(key, purpose) if now <= each.expires_at), None)
        if challenge is None or enrollment.state not in (EnrollmentState.PENDING, EnrollmentState.ACTIVE):
            raise _unknown(signer, f"its enrollment is {enrollment.state} and waits for no identity")
        try:
            issuing.require_link(tx, enrollment, purpose, now)
            made, actor = Outside(certificate, ca.version, IdentityRoute.OUTSIDE), f"device:{enrollment.id or ''}"
            version = issuing.adopt(tx, installation, made, enrollment, purpose, now=now, actor=actor)
            issuing.use_link(tx, Grant(enrollment, purpose, challenge))
        except NotEntitled as error:
            raise _unknown(signer, str(error)) from error
        tx.challenges.spend(challenge.id, now, message_sha256=signer.sha256, version_id=version.id)
        found = tx.presented(signer.sha256, message.sender.user)
        check(found)
        if found is None:
            raise AssertionError("what was just bound is found")
        return found

    return await installation.store.run(act)


def _issuer(live: Live, certificate: x509.Certificate, signer: VerifiedSigner) -> TrustedCA:
    """The outside CA that issues now, if the certificate is of it: one that is trusted for other identities gives no new ones."""
    try:
        ca = outside_scep.ca_of(live.current(), live.installation.settings.scep)
        certificate.verify_directly_issued_by(ca.certificate)
    except (NotReady, InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        raise _unknown(signer, "no outside CA that issues identities for us has issued it") from None
    return ca


def _proven(tx: Tx, installation: Installation, query: bytes) -> EnrollmentKey | None:
    """The enrollment whose token a query holds; whether there is one is not looked at."""
    if len(query) > _LONGEST:
        return None
    try:
        values = parse_qs(query.decode("ascii")).get(_PARAMETER, [])
    except ValueError:  # also for bytes that are no text
        return None
    if len(values) != 1:
        return None
    key, _dot, token = values[0].partition(".")
    secret = _kept_secret(tx, installation)
    if secret is None or not hmac.compare_digest(token.encode(), _token(secret, EnrollmentKey(key)).encode()):
        return None
    return EnrollmentKey(key)


def _token(secret: bytes, key: EnrollmentKey) -> str:
    made = hmac.new(secret, key.encode(), hashlib.sha256).digest()
    return urlsafe_b64encode(made).decode().rstrip("=")


def _secret(tx: Tx, installation: Installation) -> bytes:
    """Of this installation, made when it is first needed, and never changed: devices keep what was made of it."""
    kept = _kept_secret(tx, installation)
    if kept is not None:
        return kept
    secret = secrets.token_bytes(32)
    tx.notes.set(_NOTE, b64encode(installation.sealer.seal(secret, _PLACE)).decode())
    return secret


def _kept_secret(tx: Tx, installation: Installation) -> bytes | None:
    kept = tx.notes.get(_NOTE)
    return None if kept is None else installation.sealer.open(b64decode(kept), _PLACE)


def _unknown(signer: VerifiedSigner, why: str) -> Refused:
    return Refused(
        Refusal.UNKNOWN_IDENTITY,
        f"The identity certificate {signer.sha256} is from a trusted CA and on no record: {why}.",
        advice="Enroll the device again.",
    )
