"""Which requests an identity may make: every state of its version and of its enrollment."""

from __future__ import annotations

import plistlib
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bramley.mdm.binding import authenticate, renewable_after_end
from bramley.mdm.errors import Refusal, Refused
from bramley.mdm.identity import Method, VerifiedSigner
from bramley.mdm.messages import CheckinMessage, parse_checkin
from bramley.mdm.report import Report, parse_report
from bramley.model.enrollments import EnrollmentID, EnrollmentKey, EnrollmentState, Presented, Purpose
from bramley.model.lineages import VersionID, VersionState

from .kit import NOW, UDID

SHA256 = "ab" * 32
SIGNER = VerifiedSigner(b"DER", SHA256, Method.SIGNATURE, NOW + timedelta(days=364))

ACTIVE = Presented(
    certificate_sha256=SHA256,
    version_id=VersionID("v"),
    version_state=VersionState.ACTIVE,
    not_before=NOW - timedelta(days=1),
    not_after=NOW + timedelta(days=364),
    purpose=Purpose.ENROLL,
    enrollment_key=EnrollmentKey("k"),
    enrollment_id=EnrollmentID(UDID),
    enrollment_state=EnrollmentState.ACTIVE,
    channel_key=EnrollmentKey("k"),
    channel_state=EnrollmentState.ACTIVE,
    next_command=None,
    deferred=False,
)
PENDING = replace(ACTIVE, enrollment_state=EnrollmentState.PENDING, channel_state=EnrollmentState.PENDING)
UNCLAIMED = replace(PENDING, enrollment_id=None, version_state=VersionState.ISSUED)
CHECKED_OUT = replace(ACTIVE, enrollment_state=EnrollmentState.CHECKED_OUT, channel_state=EnrollmentState.CHECKED_OUT)
NO_CHANNEL = replace(ACTIVE, channel_key=None, channel_state=None)


def said(message_type: str, **keys: Any) -> CheckinMessage | Report:
    """A message of the type with all that it needs; `Idle` is a report."""
    given = {"UDID": UDID, **keys}
    if message_type == "Idle":
        return parse_report(plistlib.dumps({**given, "Status": "Idle"}))
    given |= {"MessageType": message_type, "Topic": "t", "Token": b"t", "PushMagic": "m", "Endpoint": "tokens"}
    return parse_checkin(plistlib.dumps(given))


ALL = ["Authenticate", "TokenUpdate", "CheckOut", "SetBootstrapToken", "GetBootstrapToken", "DeclarativeManagement", "Idle"]


def outcome(presented: Presented | None, message: CheckinMessage | Report) -> Refusal | None:
    try:
        device = authenticate(SIGNER, presented, message, now=NOW)
    except Refused as error:
        return error.reason
    assert (device.signer, device.presented, device.enrollment_id) == (SIGNER, presented, message.sender.enrollment_id)
    return None


@pytest.mark.parametrize("message_type", ALL)
def test_an_active_device_may_send_everything(message_type: str) -> None:
    assert outcome(ACTIVE, said(message_type)) is None


@pytest.mark.parametrize("message_type", ALL)
def test_an_identity_on_no_record_may_send_nothing(message_type: str) -> None:
    assert outcome(None, said(message_type)) is Refusal.UNKNOWN_IDENTITY
    assert outcome(replace(ACTIVE, certificate_sha256="cd" * 32), said(message_type)) is Refusal.UNKNOWN_IDENTITY


@pytest.mark.parametrize("message_type", ALL)
@pytest.mark.parametrize("presented", [ACTIVE, PENDING, CHECKED_OUT])
def test_nobody_speaks_for_another_device(presented: Presented, message_type: str) -> None:
    other = said(message_type, UDID="another")
    assert outcome(presented, other) is Refusal.NOT_THIS_DEVICE
    assert outcome(replace(presented, version_state=VersionState.ISSUED), other) is Refusal.NOT_THIS_DEVICE


REFUSED_STATES = {
    VersionState.PLANNED: Refusal.NOT_IN_FORCE,
    VersionState.REQUESTED: Refusal.NOT_IN_FORCE,
    VersionState.AWAITING: Refusal.NOT_IN_FORCE,
    VersionState.ISSUED: None,
    VersionState.DISTRIBUTED: None,
    VersionState.ACTIVE: None,
    VersionState.SUSPENDED: Refusal.SUSPENDED,
    VersionState.SUPERSEDED: None,
    VersionState.RETIRED: Refusal.RETIRED,
    VersionState.REVOKED: Refusal.REVOKED,
    VersionState.FAILED: Refusal.NOT_IN_FORCE,
}


@pytest.mark.parametrize("state", VersionState)
def test_every_state_of_a_version_has_its_answer(state: VersionState) -> None:
    presented = replace(ACTIVE, version_state=state, purpose=Purpose.RENEW)
    assert outcome(presented, said("Idle")) is REFUSED_STATES[state]
    starting = Refusal.SUPERSEDED if state is VersionState.SUPERSEDED else REFUSED_STATES[state]
    assert outcome(presented, said("Authenticate")) is starting


def test_the_stored_validity_counts_give_or_take_five_minutes() -> None:
    def at(begin: timedelta, end: timedelta) -> Refusal | None:
        return outcome(replace(ACTIVE, not_before=NOW + begin, not_after=NOW + end), said("Idle"))

    day, four, six = timedelta(days=1), timedelta(minutes=4), timedelta(minutes=6)
    assert at(-day, -four) is None
    assert at(-day, -six) is Refusal.EXPIRED
    assert at(four, day) is None
    assert at(six, day) is Refusal.NOT_YET_VALID


@pytest.mark.parametrize("message_type", ALL)
def test_an_unclaimed_enrollment_may_only_authenticate(message_type: str) -> None:
    expected = None if message_type == "Authenticate" else Refusal.NOT_THIS_DEVICE
    assert outcome(UNCLAIMED, said(message_type)) is expected


@pytest.mark.parametrize("message_type", ALL)
def test_a_pending_enrollment_gets_on_with_enrolling_and_nothing_else(message_type: str) -> None:
    allowed = {"Authenticate", "TokenUpdate", "CheckOut"}
    assert outcome(PENDING, said(message_type)) is (None if message_type in allowed else Refusal.NOT_ENROLLED)


def test_a_pending_device_has_no_users_yet() -> None:
    pending = replace(PENDING, channel_key=None, channel_state=None)
    assert outcome(pending, said("TokenUpdate", UserID="u")) is Refusal.NOT_ENROLLED


@pytest.mark.parametrize("message_type", ALL)
@pytest.mark.parametrize("purpose", Purpose)
@pytest.mark.parametrize("state", [VersionState.ACTIVE, VersionState.ISSUED, VersionState.DISTRIBUTED, VersionState.SUPERSEDED])
def test_a_checked_out_enrollment_comes_back_with_a_new_identity_only(
    message_type: str, purpose: Purpose, state: VersionState
) -> None:
    presented = replace(CHECKED_OUT, purpose=purpose, version_state=state)
    fresh = state in (VersionState.ISSUED, VersionState.DISTRIBUTED)
    if message_type == "Authenticate" and purpose is Purpose.ENROLL and fresh:
        assert outcome(presented, said(message_type)) is None
    else:
        assert outcome(presented, said(message_type)) in (Refusal.CHECKED_OUT, Refusal.SUPERSEDED)


@pytest.mark.parametrize("message_type", ALL)
@pytest.mark.parametrize("state", [VersionState.ISSUED, VersionState.DISTRIBUTED])
def test_what_was_issued_to_enroll_begins_with_authenticate(message_type: str, state: VersionState) -> None:
    """Or a wiped device could be in use before it starts afresh, and inherit its old queue."""
    expected = None if message_type == "Authenticate" else Refusal.NOT_ENROLLED
    assert outcome(replace(ACTIVE, version_state=state), said(message_type)) is expected
    assert outcome(replace(ACTIVE, version_state=state, purpose=Purpose.RENEW), said(message_type)) is None


@pytest.mark.parametrize("message_type", sorted(set(ALL) - {"Authenticate"}))
def test_an_unknown_user_introduces_itself_by_token_update(message_type: str) -> None:
    expected = None if message_type == "TokenUpdate" else Refusal.UNKNOWN_CHANNEL
    assert outcome(NO_CHANNEL, said(message_type, UserID="u")) is expected


def test_first_use_shows() -> None:
    for state, first in {VersionState.ISSUED: True, VersionState.DISTRIBUTED: True, VersionState.ACTIVE: False}.items():
        device = authenticate(SIGNER, replace(ACTIVE, version_state=state), said("Authenticate"), now=NOW)
        assert device.is_first_use is first


class TestAfterTheEnd:
    """An identity in force that has ended may come for its renewal, where that is wanted, and for nothing else."""

    WITHIN = timedelta(days=400)
    ENDED = replace(ACTIVE, not_before=NOW - timedelta(days=375), not_after=NOW - timedelta(days=10))

    def outcome(
        self,
        presented: Presented,
        message: CheckinMessage | Report,
        within: timedelta | None = WITHIN,
        end: timedelta | None = None,
    ) -> Refusal | None:
        signer = replace(SIGNER, not_after=presented.not_after if end is None else NOW + end)
        try:
            device = authenticate(signer, presented, message, now=NOW, after_end=within)
        except Refused as error:
            return error.reason
        assert device.has_ended
        return None

    @pytest.mark.parametrize("message_type", [*ALL, "UserAuthenticate", "GetToken", "Invented"])
    def test_it_may_report_and_say_how_it_is_woken(self, message_type: str) -> None:
        message = (
            said(message_type, UserID="u") if message_type == "UserAuthenticate" else said(message_type, TokenServiceType="t")
        )
        expected = None if message_type in ("Idle", "TokenUpdate") else Refusal.EXPIRED
        assert self.outcome(self.ENDED, message) is expected

    @pytest.mark.parametrize("message_type", ["Idle", "TokenUpdate"])
    def test_not_where_expired_identities_are_refused(self, message_type: str) -> None:
        assert self.outcome(self.ENDED, said(message_type), within=None) is Refusal.EXPIRED

    @pytest.mark.parametrize("message_type", ["Idle", "TokenUpdate"])
    def test_not_for_a_user(self, message_type: str) -> None:
        assert self.outcome(self.ENDED, said(message_type, UserID="u")) is Refusal.EXPIRED

    @pytest.mark.parametrize("state", VersionState)
    @pytest.mark.parametrize("purpose", Purpose)
    def test_only_the_identity_in_force(self, state: VersionState, purpose: Purpose) -> None:
        """Neither one that was replaced, nor one that never was in force; and what was taken out of force keeps its reason."""
        expected = REFUSED_STATES[state] or Refusal.EXPIRED
        presented = replace(self.ENDED, version_state=state, purpose=purpose)
        assert self.outcome(presented, said("Idle")) is (None if state is VersionState.ACTIVE else expected)

    @pytest.mark.parametrize("state", EnrollmentState)
    def test_only_of_a_device_that_is_enrolled(self, state: EnrollmentState) -> None:
        presented = replace(self.ENDED, enrollment_state=state, channel_state=state)
        allowed = state in (EnrollmentState.ACTIVE, EnrollmentState.QUARANTINED)
        assert self.outcome(presented, said("Idle")) is (None if allowed else Refusal.EXPIRED)

    def test_nobody_speaks_for_another_device(self) -> None:
        assert self.outcome(self.ENDED, said("Idle", UDID="another")) is Refusal.NOT_THIS_DEVICE
        assert self.outcome(replace(self.ENDED, enrollment_id=None), said("Idle")) is Refusal.NOT_THIS_DEVICE

    def test_only_for_so_long(self) -> None:
        def ended(ago: timedelta) -> Refusal | None:
            return self.outcome(replace(self.ENDED, not_before=NOW - 3 * self.WITHIN, not_after=NOW - ago), said("Idle"))

        assert ended(self.WITHIN) is None
        assert ended(self.WITHIN + timedelta(seconds=1)) is Refusal.EXPIRED

    def test_the_earlier_end_counts_where_record_and_certificate_differ(self) -> None:
        beyond = -(self.WITHIN + timedelta(days=1))
        assert self.outcome(ACTIVE, said("Idle"), end=-timedelta(days=1)) is None
        assert self.outcome(ACTIVE, said("CheckOut"), end=-timedelta(days=1)) is Refusal.EXPIRED
        assert self.outcome(ACTIVE, said("Idle"), end=beyond) is Refusal.EXPIRED
        assert self.outcome(replace(ACTIVE, not_after=NOW + beyond), said("Idle"), end=timedelta(days=1)) is Refusal.EXPIRED

    def test_within_its_dates_and_the_skew_nothing_has_ended(self) -> None:
        for end in (timedelta(days=1), -timedelta(minutes=4)):
            signer = replace(SIGNER, not_after=NOW + end)
            assert not authenticate(signer, ACTIVE, said("Idle"), now=NOW, after_end=self.WITHIN).has_ended

    def test_the_rule_by_itself(self) -> None:
        for state in VersionState:
            renewable = renewable_after_end(state, NOW, NOW, within=self.WITHIN)
            assert renewable is (state is VersionState.ACTIVE)
            assert not renewable_after_end(state, NOW, NOW, within=None)
