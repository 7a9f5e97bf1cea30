"""From a signer to a device: whether this identity was issued for the enrollment that the message names, and may act.

Pure: the caller reads `Presented` from storage for every request, so a revocation counts from the next one on.

An identity that has ended may, where that is wanted, do one thing more: fetch its renewal (see `renewable_after_end`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from bramley.lifecycle import states
from bramley.mdm.errors import Refusal, Refused
from bramley.mdm.identity import SKEW, VerifiedSigner
from bramley.mdm.messages import Authenticate, CheckinMessage, CheckOut, TokenUpdate, UserAuthenticate
from bramley.mdm.report import Report
from bramley.mdm.sender import Sender
from bramley.model.enrollments import EnrollmentID, EnrollmentState, Presented, Purpose
from bramley.model.lineages import VersionState

_FRESH: Final = frozenset({VersionState.ISSUED, VersionState.DISTRIBUTED})
_REFUSALS: Final[Mapping[VersionState, Refusal]] = {
    VersionState.REVOKED: Refusal.REVOKED,
    VersionState.SUSPENDED: Refusal.SUSPENDED,
    VersionState.RETIRED: Refusal.RETIRED,
}
_ENROLLED: Final = frozenset({EnrollmentState.ACTIVE, EnrollmentState.QUARANTINED})
_AFTER_THE_END: Final = (Report, TokenUpdate)
"""To fetch the renewal, and to be woken for it."""

_WHILE_PENDING: Final = (Authenticate, TokenUpdate, CheckOut)
_WITHOUT_CHANNEL: Final = (TokenUpdate, UserAuthenticate)


@dataclass(frozen=True, slots=True)
class AuthenticatedDevice:
    """Made only by `authenticate`: `signer` may speak for the channel that `sender` names.

    Where it `has_ended`, for nothing but what `renewable_after_end` lets it come for.
    """

    signer: VerifiedSigner
    presented: Presented
    sender: Sender
    has_ended: bool = False

    @property
    def enrollment_id(self) -> EnrollmentID:
        """The addressed channel's id: the device's, or `device:user`."""
        return self.sender.enrollment_id

    @property
    def is_first_use(self) -> bool:
        """Whether this identity had not been seen in use before this request."""
        return self.presented.version_state in _FRESH


def renewable_after_end(state: VersionState, not_after: datetime, now: datetime, *, within: timedelta | None) -> bool:
    """Whether an identity that has ended may still be used to get its successor: the one in force, for so long after its end.

    `within` None: not at all. That its enrollment is active, and its CA trusted, is for the caller to see to.
    """
    return state is VersionState.ACTIVE and within is not None and now <= not_after + within


def authenticate(
    signer: VerifiedSigner,
    presented: Presented | None,
    message: CheckinMessage | Report,
    *,
    now: datetime,
    skew: timedelta = SKEW,
    after_end: timedelta | None = None,
) -> AuthenticatedDevice:
    """The device, if the identity is on record, in force and bound to the enrollment that the message names.

    Raises Refused: for an identity that we did not issue, that is not in force (a superseded one still is, until it is
    retired, but starts nothing), or that belongs to another device; and for what an enrollment may not do where it
    stands. One that never authenticated may only Authenticate; a pending one may also send TokenUpdate and CheckOut; a
    checked-out one may only Authenticate, with a new identity. Whatever was issued to enroll begins with Authenticate.

    For so long `after_end` the identity in force of an enrolled device may still send reports and TokenUpdate, on the device's
    own channel; what comes of them is for whoever handles a device that `has_ended`.
    """
    if presented is None or presented.certificate_sha256 != signer.sha256:
        raise Refused(
            Refusal.UNKNOWN_IDENTITY,
            f"The identity certificate {signer.sha256} is from a trusted CA and on no record.",
            advice="It was issued elsewhere, or before a restored backup: enroll the device again.",
        )
    if presented.version_state not in states.LIVE:
        reason = _REFUSALS.get(presented.version_state, Refusal.NOT_IN_FORCE)
        raise Refused(reason, f"The identity certificate {signer.sha256} is {presented.version_state}.")
    # two sources that agree, unless something is wrong: then the earlier end counts
    end = min(presented.not_after, signer.not_after)
    has_ended = now > end + skew
    if has_ended and not renewable_after_end(presented.version_state, end, now, within=after_end):
        raise Refused(
            Refusal.EXPIRED,
            f"The identity certificate {signer.sha256} ended at {end:%F %T} UTC.",
            advice="`bramley identity rescue` says what helps.",
        )
    if now < presented.not_before - skew:
        raise Refused(
            Refusal.NOT_YET_VALID, f"The identity certificate {signer.sha256} begins at {presented.not_before:%F %T} UTC."
        )
    sender = message.sender
    if presented.enrollment_id != sender.device and presented.enrollment_id is not None:
        raise Refused(
            Refusal.NOT_THIS_DEVICE,
            f"The identity belongs to {presented.enrollment_id}; the message says it is from {sender.device}.",
        )
    if has_ended:
        _check_after_end(presented, message)
    _check_standing(presented, message)
    return AuthenticatedDevice(signer, presented, sender, has_ended)


def _check_after_end(presented: Presented, message: CheckinMessage | Report) -> None:
    """What an identity that has ended, and may be renewed, may not send."""
    if presented.enrollment_state not in _ENROLLED:
        raise Refused(Refusal.EXPIRED, f"The identity has ended, and its enrollment is {presented.enrollment_state}.")
    if message.sender.user is not None or not isinstance(message, _AFTER_THE_END):
        what = f"{type(message).__name__}{' on a user channel' if message.sender.user else ''}"
        raise Refused(Refusal.EXPIRED, f"The identity has ended: it may fetch its renewal, and not send {what}.")


def _check_standing(presented: Presented, message: CheckinMessage | Report) -> None:
    """What an enrollment, where it stands, may not send."""
    starting = isinstance(message, Authenticate)
    if presented.enrollment_id is None and not starting:
        raise Refused(Refusal.NOT_THIS_DEVICE, "The identity has not introduced a device yet; expected Authenticate first.")
    if starting and presented.version_state is VersionState.SUPERSEDED:
        raise Refused(Refusal.SUPERSEDED, "A superseded identity may finish what it began; it may not Authenticate.")
    if presented.enrollment_state is EnrollmentState.CHECKED_OUT:
        if not (starting and presented.purpose is Purpose.ENROLL and presented.version_state in _FRESH):
            raise Refused(
                Refusal.CHECKED_OUT,
                "The enrollment is checked out.",
                advice="Enroll the device again with a new enrollment profile.",
            )
        return
    if starting:
        return
    if presented.purpose is Purpose.ENROLL and presented.version_state in _FRESH:
        # else it would be in use by the time it authenticates, and take over what an earlier life has left
        raise Refused(Refusal.NOT_ENROLLED, "The identity is new and was issued to enroll; expected Authenticate first.")
    user_channel = message.sender.user is not None
    if presented.enrollment_state is EnrollmentState.PENDING and (user_channel or not isinstance(message, _WHILE_PENDING)):
        raise Refused(Refusal.NOT_ENROLLED, "The enrollment is pending; expected the device's TokenUpdate first.")
    if user_channel and presented.channel_key is None and not isinstance(message, _WITHOUT_CHANNEL):
        raise Refused(Refusal.UNKNOWN_CHANNEL, "The user has no channel yet; expected the user's TokenUpdate first.")
