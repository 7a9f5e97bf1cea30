"""Network identities: templates, assignments and challenges come back as they were, and a challenge is spent once."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from bramley.model.commands import CommandUUID
from bramley.model.enrollments import Enrollment, EnrollmentState
from bramley.model.lineages import VersionID
from bramley.model.networks import (
    NetworkAssignment,
    NetworkChallenge,
    NetworkIssuer,
    NetworkState,
    NetworkTemplate,
    NetworkUse,
)
from bramley.storage.protocols import Store, Tx
from tests.conftest import NOW

from .kit import DAY, SECOND, enrollment, store_all

ONE, TWO = enrollment("1"), enrollment("2")


def template(name: str = "wifi", **fields: Any) -> NetworkTemplate:
    made = NetworkTemplate(name, NetworkUse.WIFI, NetworkIssuer.BRAMLEY, b"sealed", NOW, NOW, "cli")
    return replace(made, **fields)


def assignment(of: Enrollment = ONE, name: str = "wifi", **fields: Any) -> NetworkAssignment:
    return replace(NetworkAssignment(of.key, name, NetworkState.SENT, NOW, "cli", NOW), **fields)


def challenge(secret: str = "1", of: Enrollment = ONE, name: str = "wifi", **fields: Any) -> NetworkChallenge:
    return replace(NetworkChallenge(f"sha256 of {secret}", of.key, name, NOW, NOW + DAY), **fields)


@pytest.fixture
async def store(store: Store) -> Store:
    """One with two devices."""
    await store_all(store, ONE, TWO)
    return store


async def put(store: Store, *assignments: NetworkAssignment) -> None:
    def act(tx: Tx) -> None:
        for each in assignments:
            tx.networks.put(each)

    await store.run(act)


async def add(store: Store, *challenges: NetworkChallenge) -> None:
    def act(tx: Tx) -> None:
        for each in challenges:
            tx.networks.add_challenge(each)

    await store.run(act)


async def test_a_template_takes_the_place_of_the_one_of_its_name(store: Store) -> None:
    first, other = template(), template("mail", use=NetworkUse.SMIME, issuer=NetworkIssuer.OUTSIDE)
    for each in (first, other):
        await store.run(lambda tx, each=each: tx.networks.put_template(each))  # type: ignore[misc]
    second = template(content=b"other", use=NetworkUse.VPN, changed_at=NOW + DAY, changed_by="admin:ann")
    await store.run(lambda tx: tx.networks.put_template(replace(second, created_at=NOW + DAY)))
    assert await store.read(lambda tx: tx.networks.template("wifi")) == second
    assert await store.read(lambda tx: tx.networks.templates()) == [other, second]
    assert await store.run(lambda tx: tx.networks.remove_template("wifi"))
    assert not await store.run(lambda tx: tx.networks.remove_template("wifi"))
    assert await store.read(lambda tx: tx.networks.template("wifi")) is None


async def test_an_assignment_comes_back_as_it_was_put_last(store: Store) -> None:
    await put(store, assignment(), assignment(name="mail"))
    last = assignment(
        state=NetworkState.FAILED,
        created_at=NOW + DAY,
        created_by="admin:ann",
        changed_at=NOW + DAY,
        command_uuid=CommandUUID("uuid"),
        sent_at=NOW + SECOND,
        look_at=NOW + 2 * DAY,
        attempts=3,
        problem="é",
    )
    await put(store, last)
    assert await store.read(lambda tx: tx.networks.get(ONE.key, "wifi")) == last
    assert await store.read(lambda tx: tx.networks.by_command(ONE.key, CommandUUID("uuid"))) == last
    assert await store.read(lambda tx: tx.networks.by_command(TWO.key, CommandUUID("uuid"))) is None
    assert await store.read(lambda tx: tx.networks.of(ONE.key)) == [assignment(name="mail"), last]
    assert await store.read(lambda tx: tx.networks.get(TWO.key, "wifi")) is None


async def test_listings_and_counts_leave_out_what_has_ended(store: Store) -> None:
    ended = assignment(TWO, "mail", state=NetworkState.ENDED)
    living = [assignment(ONE, "mail"), assignment(ONE, "wifi"), assignment(TWO, "wifi", state=NetworkState.REMOVING)]
    await put(store, ended, *living)
    assert await store.read(lambda tx: tx.networks.listing(limit=10)) == living
    assert await store.read(lambda tx: tx.networks.listing("wifi", limit=10)) == living[1:]
    assert await store.read(lambda tx: tx.networks.listing(limit=2)) == living[:2]
    assert await store.read(lambda tx: tx.networks.listing(limit=2, after=(ONE.key, "wifi"))) == living[2:]
    assert [await store.read(lambda tx, n=n: tx.networks.count(n)) for n in ("mail", "wifi", "x")] == [1, 2, 0]  # type: ignore[misc]
    assert ended in await store.read(lambda tx: tx.networks.of(TWO.key))


async def test_what_is_due_comes_in_the_order_of_its_moment(store: Store) -> None:
    late, early = assignment(ONE, "mail", look_at=NOW), assignment(ONE, "wifi", look_at=NOW - DAY)
    later = assignment(TWO, "wifi", look_at=NOW + SECOND)
    await put(store, late, early, later, assignment(TWO, "mail"))
    assert await store.read(lambda tx: tx.networks.due(NOW, 10)) == [early, late]
    assert await store.read(lambda tx: tx.networks.due(NOW, 1)) == [early]
    assert await store.read(lambda tx: tx.networks.due(NOW - 2 * DAY, 10)) == []


@pytest.mark.parametrize(
    ("state", "enrolled_at", "outlived"),
    [
        (EnrollmentState.ACTIVE, None, False),
        (EnrollmentState.ACTIVE, NOW, False),
        (EnrollmentState.QUARANTINED, NOW - DAY, False),
        (EnrollmentState.ACTIVE, NOW + SECOND, True),
        (EnrollmentState.PENDING, None, True),
        (EnrollmentState.CHECKED_OUT, NOW, True),
    ],
)
async def test_what_outlives_its_enrollment_is_found(
    store: Store, state: EnrollmentState, enrolled_at: datetime | None, outlived: bool
) -> None:
    three = enrollment("3", state, enrolled_at=enrolled_at)
    await store_all(store, three)
    made = assignment(three)
    await put(store, made, assignment(three, "mail", state=NetworkState.ENDED))
    assert await store.read(lambda tx: tx.networks.outlived(10)) == ([made] if outlived else [])


async def test_a_challenge_is_spent_once(store: Store) -> None:
    made = challenge()
    await add(store, made)
    assert await store.read(lambda tx: tx.networks.challenge(made.secret_sha256)) == made
    assert await store.read(lambda tx: tx.networks.challenge("another")) is None

    def spend(tx: Tx) -> bool:
        version = VersionID("version")
        return tx.networks.spend(made.secret_sha256, NOW + SECOND, message_sha256="message", version_id=version)

    assert [await store.run(spend), await store.run(spend)] == [True, False]
    spent = replace(made, spent_at=NOW + SECOND, spent_on="message", version_id=VersionID("version"))
    assert await store.read(lambda tx: tx.networks.challenge(made.secret_sha256)) == spent


async def test_those_of_one_assignment_are_voided(store: Store) -> None:
    await add(store, challenge("1"), challenge("2"), challenge("3", name="mail"), challenge("4", TWO))
    assert await store.run(lambda tx: tx.networks.void(ONE.key, "wifi", NOW)) == 2
    assert await store.run(lambda tx: tx.networks.void(ONE.key, "wifi", NOW)) == 0

    def unspent(tx: Tx) -> list[bool]:
        found = [tx.networks.challenge(f"sha256 of {n}") for n in (1, 2, 3, 4)]
        return [each is not None and each.spent_at is None for each in found]

    assert await store.read(unspent) == [False, False, True, True]


async def test_expired_ones_are_swept(store: Store) -> None:
    await add(store, challenge("1"), challenge("2", expires_at=NOW))
    assert await store.run(lambda tx: tx.networks.sweep(NOW + SECOND)) == 1
    assert await store.read(lambda tx: tx.networks.challenge("sha256 of 1")) is not None
