"""The enrollment profile as it is given out: by what the device gets its identity, signed, and put on record.

A profile is made ready before the transaction that gives it out, since keys and signatures take their time there.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from bramley.mdm import plist
from bramley.mdm.plist import PlistValue
from bramley.model import ids
from bramley.model.enrollments import Challenge, EnrollmentKey, IdentityRoute, Purpose
from bramley.operations import former_profiles, outside_identities, outside_scep, pkcs12_identities, signers
from bramley.operations.installation import Installation
from bramley.operations.live import Snapshot
from bramley.pki import keys
from bramley.pki.scep import challenge as challenges
from bramley.profiles import former, immutable
from bramley.profiles.documents import LARGEST
from bramley.profiles.enrollment import EnrollmentProfileSettings, enrollment_profile, pkcs12_identity, scep_identity
from bramley.profiles.payloads import Payload
from bramley.profiles.sign import sign
from bramley.settings import Enrollment
from bramley.storage.protocols import Tx

_POLL_SECONDS: Final = 60
_POLLS: Final = 24 * 60
"""How a device waits for a person to approve its request (Apple, "SCEP": RetryDelay and Retries, for answers that are PENDING):
by the minute, since somebody may be looking on, and for a day, so that a working day lies in it. Renewals wait for nobody."""

IDENTIFIER_PREFIX: Final = "bramley"
"""Begins every PayloadIdentifier, and may never change: a later profile takes the place of an earlier one by it."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom an enrollment profile is for, and why. `invariants` are the enrollment's."""

    key: EnrollmentKey
    purpose: Purpose
    topic: str
    invariants: str = ""


class Delivery(Protocol):
    """An enrollment profile that is about to be given out, once."""

    def record(self, tx: Tx) -> bytes:
        """Puts on record what the profile entitles its device to; the signed profile (DER CMS). May be called again."""
        ...


async def prepare(
    installation: Installation, snapshot: Snapshot, recipient: Recipient, life: timedelta, now: datetime
) -> Delivery:
    """A profile with a right to a fresh identity, good for so long a `life`. Conflict where the device would take none.

    With `identity.source` pkcs12 it is a profile with the identity itself. Raises BadProfile for a renewal that would change
    what may never change, here or as it is recorded.
    """
    frame = await former_profiles.frame(installation, recipient.invariants)
    settings = await settings_of(installation, recipient.key, recipient.topic, recipient.invariants)
    if installation.settings.identity.source == IdentityRoute.PKCS12:
        return ByPKCS12(installation, snapshot, recipient, settings, now, frame, await pkcs12_identities.new_key())
    issued = new_challenge(recipient.key, recipient.purpose, now, life)
    url, challenge = _scep(installation, snapshot, recipient, issued.secret)
    identity = scep_identity(
        settings,
        recipient.key,
        url=url,
        challenge_id=issued.challenge.id,
        challenge=challenge,
        common_name=recipient.key,
    )
    if installation.settings.scep.approval == "manual" and recipient.purpose is Purpose.ENROLL:
        identity = replace(identity, retries=_POLLS, retry_delay=_POLL_SECONDS)
    trust = installation.settings.enrollment
    return ByChallenge(issued.challenge, signed(snapshot, trust, settings, recipient, identity, now, frame))


def _scep(installation: Installation, snapshot: Snapshot, recipient: Recipient, secret: str) -> tuple[str, str]:
    """URL and challenge of the SCEP payload. NotReady where the CA that devices are to go to is not trusted.

    An outside CA that wants a challenge of its own gets that one in the request, which is the device's: then the secret goes
    into the URL. Where devices go to it by themselves, a token in other URLs is their right, and nobody is told the secret. A
    device whose URLs have no token, and never may, goes on with ours.
    """
    scep, url = installation.settings.scep, f"{installation.url}/scep"
    if scep.is_bypassed and recipient.invariants == outside_identities.INVARIANTS:
        outside_scep.ca_of(snapshot, scep)
        # the payload has to have a challenge, and the CA asks for none
        return scep.outside_url, scep.outside_challenge or challenges.new_secret()
    if scep.is_proxied and scep.outside_challenge:
        return f"{url}/{secret}", scep.outside_challenge
    return url, secret


@dataclass(frozen=True, slots=True)
class ByChallenge:
    """A profile by which the device fetches its identity, with a one-time challenge."""

    challenge: Challenge
    profile: bytes = field(repr=False)

    def record(self, tx: Tx) -> bytes:
        """Stores the challenge: from then on the profile is good."""
        tx.challenges.add(self.challenge)
        return self.profile


@dataclass(frozen=True, slots=True)
class ByPKCS12:
    """A profile that brings the identity itself, key and all. That is issued as it is recorded, and the key kept nowhere."""

    installation: Installation
    snapshot: Snapshot
    recipient: Recipient
    settings: EnrollmentProfileSettings = field(repr=False)
    now: datetime
    frame: bytes | None = field(repr=False)
    key: keys.PrivateKey = field(repr=False)

    def record(self, tx: Tx) -> bytes:
        """Issues the identity: from then on whoever has the profile may use it."""
        to, settings = self.recipient, self.settings
        parcel = pkcs12_identities.issue(tx, self.installation, self.snapshot, self.key, to.key, to.purpose, self.now)
        identity = pkcs12_identity(settings, to.key, archive=parcel.archive, password=parcel.password, serial=parcel.serial)
        trust = self.installation.settings.enrollment
        return signed(self.snapshot, trust, settings, to, identity, self.now, self.frame)


@dataclass(frozen=True, slots=True)
class NewChallenge:
    """A challenge with its secret, which goes into a profile and nowhere else."""

    challenge: Challenge
    secret: str = field(repr=False)


def new_challenge(key: EnrollmentKey, purpose: Purpose, now: datetime, life: timedelta) -> NewChallenge:
    """A one-time challenge for this enrollment and purpose; nothing is stored yet."""
    secret = challenges.new_secret()
    return NewChallenge(Challenge(ids.fresh(now), challenges.digest(secret), key, purpose, now, now + life), secret)


def profile_settings(installation: Installation, topic: str) -> EnrollmentProfileSettings:
    """What all enrollment profiles under a push topic share."""
    return EnrollmentProfileSettings(installation.settings.organization, installation.url, topic, IDENTIFIER_PREFIX)


async def settings_of(installation: Installation, key: EnrollmentKey, topic: str, invariants: str) -> EnrollmentProfileSettings:
    """What the enrollment profiles of one device are made with, for one that no former MDM enrolled."""
    settings = profile_settings(installation, topic)
    if invariants == outside_identities.INVARIANTS:
        return replace(settings, query=await outside_identities.query_for(installation, key))
    return settings


def enrolled_with(settings: EnrollmentProfileSettings, frame: bytes | None) -> dict[str, Any]:
    """What a device was enrolled with, as far as a replacement may not change it, as the property list of a profile."""
    if frame is None:
        return immutable.promised(settings)
    return _read(frame)


def signed(
    snapshot: Snapshot,
    trust: Enrollment,
    settings: EnrollmentProfileSettings,
    recipient: Recipient,
    identity: Payload,
    now: datetime,
    frame: bytes | None = None,
) -> bytes:
    """The recipient's profile around an identity, with what it makes devices trust, signed by the chosen signer (DER CMS).

    Where that one has ended, a renewal is signed by our own. BadProfile for a renewal that its device would refuse, because it
    changes what may never change.

    `frame` is the profile of a former MDM that this one is to take the place of, as `former_profiles.frame` has it.
    """
    profile = enrollment_profile(
        settings,
        enrollment_key=recipient.key,
        identity=identity,
        anchors=[snapshot.authorities.root.certificate] if trust.anchors == "root" else [],
        pins=[snapshot.authorities.https.authority.certificate] if trust.pin else [],
    )
    said = profile.to_plist()
    content = plist.dumps(said) if frame is None else former.renewal(frame, profile)
    if recipient.purpose is Purpose.RENEW:
        immutable.require(enrolled_with(settings, frame), said if frame is None else _read(content))
    signer = snapshot.signer
    if recipient.purpose is Purpose.RENEW and now > signers.ends((signer.certificate, *signer.chain)):
        # Whose signature it is is not worth a device, which would be lost without its renewal. It trusts ours as well.
        signer = snapshot.own_signer
    return sign(content, certificate=signer.certificate, key=signer.key, chain=signer.chain, now=now)


def _read(profile: bytes) -> dict[str, PlistValue]:
    read = plist.loads(profile, max_bytes=LARGEST)
    if not isinstance(read, dict):
        raise AssertionError("a former profile is kept as a dictionary, and so is its renewal")
    return read
