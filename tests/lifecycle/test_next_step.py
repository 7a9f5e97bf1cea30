"""Whose turn it is, for every state and kind that an operator may meet."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from bramley.lifecycle.next_step import IMPORTED, Mover, next_step
from bramley.model.kinds import Kind
from bramley.model.lineages import Lineage, LineageID, Policy, Turn, Version, VersionID, VersionState
from bramley.model.push import Route

GRACE = timedelta(hours=72)
YEAR = timedelta(days=365)


def _lineage(kind: Kind, now: datetime) -> Lineage:
    return Lineage(LineageID("l"), kind, "name", Policy(renew_at=0.5), now)


def _version(now: datetime, state: VersionState = VersionState.ACTIVE, *, age: timedelta = timedelta(0)) -> Version:
    begin = now - age
    return Version(
        VersionID("v"), LineageID("l"), 1, state, begin, begin, certificate=b"", not_before=begin, not_after=begin + YEAR
    )


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("state", VersionState)
def test_every_state_of_every_kind_has_a_next_step(kind: Kind, state: VersionState, now: datetime) -> None:
    assert next_step(_lineage(kind, now), _version(now, state), now, grace=GRACE).text


@pytest.mark.parametrize(
    ("kind", "mover", "text"),
    [
        (Kind.DEVICE_IDENTITY, Mover.SERVER, "renews itself on 2027-05-26"),
        (Kind.NETWORK_IDENTITY, Mover.SERVER, "renews itself on 2027-05-26"),
        (Kind.PROFILE_RECIPIENT, Mover.SERVER, "renews itself on 2027-05-26"),
        (Kind.HTTPS, Mover.SERVER, "renews itself on 2027-05-26"),
        (Kind.PUSH, Mover.HUMAN, "in force; to be renewed from 2027-05-26"),
        (Kind.ROOT_CA, Mover.HUMAN, "to be replaced from 2027-05-26"),
        (Kind.IDENTITY_CA, Mover.HUMAN, "in force; to be rolled over from 2027-05-26"),
    ],
)
def test_what_is_in_force_and_fresh(kind: Kind, mover: Mover, text: str, now: datetime) -> None:
    step = next_step(_lineage(kind, now), _version(now), now, grace=GRACE)
    assert step.mover is mover
    assert step.text.startswith(text)
    assert step.at == now + YEAR / 2


@pytest.mark.parametrize(
    ("kind", "mover", "text"),
    [
        (Kind.DEVICE_IDENTITY, Mover.DEVICE, "renewal is due since"),
        (Kind.NETWORK_IDENTITY, Mover.DEVICE, "renewal is due since"),
        (Kind.PROFILE_RECIPIENT, Mover.DEVICE, "renewal is due since"),
        (Kind.PROFILE_SIGNER, Mover.SERVER, "due; replaced"),
        (Kind.PUSH, Mover.HUMAN, "due now. `bramley push request` begins"),
        (Kind.IDENTITY_CA, Mover.HUMAN, "roll over: it ends before what it issues would. `bramley identity ca rollover"),
        (Kind.HTTPS_CA, Mover.HUMAN, "to be replaced now"),
    ],
)
def test_what_is_due(kind: Kind, mover: Mover, text: str, now: datetime) -> None:
    step = next_step(_lineage(kind, now), _version(now, age=timedelta(days=300)), now, grace=GRACE)
    assert step.mover is mover
    assert step.text.startswith(text)


@pytest.mark.parametrize(
    ("kind", "mover", "text"),
    [
        (Kind.DEVICE_IDENTITY, Mover.HUMAN, "identity rescue"),
        (Kind.NETWORK_IDENTITY, Mover.DEVICE, "waits for the device"),
        (Kind.HTTPS, Mover.SERVER, "next start"),
        (Kind.PUSH, Mover.HUMAN, "Renew, not Create"),
        (Kind.ROOT_CA, Mover.HUMAN, "replace it"),
    ],
)
def test_what_has_expired(kind: Kind, mover: Mover, text: str, now: datetime) -> None:
    step = next_step(_lineage(kind, now), _version(now, age=timedelta(days=366)), now, grace=GRACE)
    assert step.mover is mover
    assert step.text.startswith("expired; ")
    assert text in step.text


@pytest.mark.parametrize(
    ("kind", "route", "mover", "words"),
    [
        (Kind.PROFILE_SIGNER, "", Mover.SERVER, "replaced at the next start or within 12 hours"),
        (Kind.PROFILE_SIGNER, IMPORTED, Mover.HUMAN, "by `bramley profile signer import`"),
        (Kind.PACKAGE_SIGNER, IMPORTED, Mover.HUMAN, "by `bramley profile package-signer import`"),
    ],
)
@pytest.mark.parametrize("days", [300, 366])
def test_what_was_imported_is_a_persons_to_replace(
    kind: Kind, route: str, mover: Mover, words: str, days: int, now: datetime
) -> None:
    lineage = replace(_lineage(kind, now), route=route)
    step = next_step(lineage, _version(now, age=timedelta(days=days)), now, grace=GRACE)
    assert (step.mover, words in step.text) == (mover, True)


@pytest.mark.parametrize("kind", [Kind.DEVICE_IDENTITY, Kind.NETWORK_IDENTITY])
def test_a_superseded_identity_retires_after_its_grace(kind: Kind, now: datetime) -> None:
    version = replace(_version(now, VersionState.SUPERSEDED), changed_at=now)
    step = next_step(_lineage(kind, now), version, now, grace=GRACE)
    assert (step.mover, step.text, step.at) == (Mover.SERVER, "superseded; retires on 2026-11-27", now + GRACE)


def test_an_issued_identity_waits_for_its_device(now: datetime) -> None:
    step = next_step(_lineage(Kind.DEVICE_IDENTITY, now), _version(now, VersionState.ISSUED), now, grace=GRACE)
    assert (step.mover, step.text) == (Mover.DEVICE, "waits for its first use")


@pytest.mark.parametrize("turn", Turn)
def test_what_is_awaited_names_who_is_waited_for(turn: Turn, now: datetime) -> None:
    version = replace(_version(now, VersionState.AWAITING), turn=turn)
    assert next_step(_lineage(Kind.HTTPS, now), version, now, grace=GRACE).mover.value == turn.value


class TestPush:
    """The words a person goes by at Apple's page, and the command that comes next."""

    @pytest.mark.parametrize(
        ("state", "route", "words"),
        [
            (VersionState.PLANNED, Route.VENDOR, "`bramley push sign`"),
            (VersionState.PLANNED, Route.MDMCERT, "`bramley push mdmcert request`"),
            (VersionState.REQUESTED, Route.MDMCERT, "`bramley push mdmcert decrypt`"),
            (
                VersionState.AWAITING,
                Route.VENDOR,
                "signed in as it@orchard.example, choose Renew, not Create, for the certificate",
            ),
            (VersionState.ACTIVE, Route.PROFILE_MANAGER, "on the Mac with Server.app that it was exported from"),
            (VersionState.ACTIVE, Route.VENDOR, "`bramley push request` begins"),
        ],
    )
    def test_names_account_topic_and_command(self, state: VersionState, route: Route, words: str, now: datetime) -> None:
        lineage = replace(_lineage(Kind.PUSH, now), name="com.apple.mgmt.x", owner="it@orchard.example", route=route)
        step = next_step(lineage, replace(_version(now, state), turn=Turn.HUMAN), now, grace=GRACE)
        assert (step.mover, words in step.text) == (Mover.HUMAN, True)

    def test_a_first_certificate_is_created(self, now: datetime) -> None:
        lineage = replace(_lineage(Kind.PUSH, now), name="new:1", owner="it@orchard.example")
        step = next_step(lineage, _version(now, VersionState.AWAITING), now, grace=GRACE)
        assert "choose Create" in step.text
        assert "Renew" not in step.text

    def test_one_on_trial_is_the_servers(self, now: datetime) -> None:
        assert next_step(_lineage(Kind.PUSH, now), _version(now, VersionState.ISSUED), now, grace=GRACE).mover is Mover.SERVER


@pytest.mark.parametrize(
    ("state", "mover", "text"),
    [
        (VersionState.PLANNED, Mover.HUMAN, "certified by your CA, then `bramley identity ca import`"),
        (VersionState.ISSUED, Mover.SERVER, "prepared"),
        (VersionState.DISTRIBUTED, Mover.SERVER, "trusted beside the one in force"),
        (VersionState.SUPERSEDED, Mover.SERVER, "withdrawn once no identity needs it"),
    ],
)
def test_an_identity_ca_that_is_rolled_over(state: VersionState, mover: Mover, text: str, now: datetime) -> None:
    step = next_step(_lineage(Kind.IDENTITY_CA, now), _version(now, state), now, grace=GRACE)
    assert (step.mover, text in step.text) == (mover, True)


def test_why_it_was_revoked_is_said(now: datetime) -> None:
    version = replace(_version(now, VersionState.REVOKED), reason="stolen")
    step = next_step(_lineage(Kind.DEVICE_IDENTITY, now), version, now, grace=GRACE)
    assert (step.mover, step.text) == (Mover.NOBODY, "revoked: stolen")


def test_what_has_no_end_needs_nothing(now: datetime) -> None:
    version = replace(_version(now), not_before=None, not_after=None)
    assert next_step(_lineage(Kind.TRUST_ANCHOR, now), version, now, grace=GRACE).mover is Mover.NOBODY
