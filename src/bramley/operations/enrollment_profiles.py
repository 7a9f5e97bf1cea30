"""The enrollment profile as it is given out: by what the device gets its identity, signed, and put on record.

A profile is made ready before the transaction that gives it out, since keys and signatures take their time there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from bramley.model import ids
from bramley.model.enrollments import Challenge, EnrollmentKey, Purpose
from bramley.operations.installation import Installation
from bramley.operations.live import Snapshot
from bramley.pki.scep import challenge as challenges
from bramley.profiles.enrollment import EnrollmentProfileSettings, enrollment_profile, scep_identity
from bramley.profiles.payloads import Payload
from bramley.profiles.sign import sign
from bramley.storage.protocols import Tx

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
    """A profile with a right to a fresh identity, good for so long a `life`."""
    issued = new_challenge(recipient.key, recipient.purpose, now, life)
    settings = profile_settings(installation, recipient.topic)
    identity = scep_identity(
        settings,
        recipient.key,
        url=f"{installation.url}/scep",
        challenge_id=issued.challenge.id,
        challenge=issued.secret,
        common_name=recipient.key,
    )
    return ByChallenge(issued.challenge, signed(snapshot, settings, recipient, identity, now))


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


def signed(
    snapshot: Snapshot, settings: EnrollmentProfileSettings, recipient: Recipient, identity: Payload, now: datetime
) -> bytes:
    """The recipient's profile around an identity, signed by the profile signer (DER CMS)."""
    profile = enrollment_profile(
        settings,
        enrollment_key=recipient.key,
        identity=identity,
        anchors=[snapshot.authorities.root.certificate],
    )
    signer = snapshot.signer
    return sign(profile.to_bytes(), certificate=signer.certificate, key=signer.key, chain=signer.chain, now=now)
