"""What differs between a device's list and our records: one row a case."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bramley.mdm.commands import CertificateListAnswer, ListedCertificate
from bramley.model.kinds import Kind
from bramley.model.lineages import LineageID, Version, VersionID
from bramley.model.lineages import VersionState as S
from bramley.operations.device_certificates import Held, OnRecord, What, findings, held, superseded_until
from tests.conftest import NOW

HOUR = timedelta(hours=1)
TOLD_AT = NOW - HOUR
IDENTITY = Kind.DEVICE_IDENTITY


def record(
    state: S = S.ACTIVE,
    kind: Kind = IDENTITY,
    *,
    here: bool = True,
    same_device: bool = True,
    changed: timedelta = -10 * HOUR,
    ends: timedelta = 10 * HOUR,
) -> OnRecord:
    version = Version(
        VersionID("v"), LineageID("l"), 1, state, NOW, NOW + changed, sha256="a", subject="CN=ours", not_after=NOW + ends
    )
    return OnRecord(version, kind, here, same_device)


A = Held("a", "device's word", True)
LISTED, NOT_LISTED = [A], list[Held]()


@pytest.mark.parametrize(
    ("listed", "records", "expected"),
    [
        (LISTED, {"a": record()}, []),
        (NOT_LISTED, {"a": record()}, [What.IDENTITY_MISSING]),
        (NOT_LISTED, {"a": record(changed=-HOUR / 2)}, []),  # came into force after the answer
        (NOT_LISTED, {"a": record(S.ISSUED)}, []),
        (NOT_LISTED, {"a": record(S.SUPERSEDED)}, []),
        (NOT_LISTED, {"a": record(S.SUSPENDED)}, []),
        (LISTED, {"a": record(S.SUSPENDED)}, []),
        (NOT_LISTED, {"a": record(S.RETIRED)}, []),
        (NOT_LISTED, {"a": record(here=False)}, []),
        (LISTED, {"a": record(S.SUPERSEDED)}, []),  # in its grace
        (LISTED, {"a": record(S.RETIRED)}, [What.OLD_IDENTITY]),
        (LISTED, {"a": record(S.RETIRED, changed=-HOUR / 2)}, []),  # retired after the answer
        (LISTED, {"a": record(S.RETIRED, ends=-HOUR)}, [What.OLD_IDENTITY]),
        (LISTED, {"a": record(S.RETIRED, here=False)}, [What.OLD_IDENTITY]),  # of an earlier life
        (LISTED, {"a": record(ends=-HOUR)}, [What.EXPIRED]),
        (NOT_LISTED, {"a": record(ends=-HOUR)}, [What.IDENTITY_MISSING]),
        (LISTED, {"a": record(here=False, same_device=False)}, [What.IDENTITY_OF_ANOTHER]),
        (LISTED, {"a": record(S.RETIRED, here=False, same_device=False)}, [What.IDENTITY_OF_ANOTHER]),
        (LISTED, {}, [What.UNKNOWN_IDENTITY]),
        ([A, A, A], {}, [What.UNKNOWN_IDENTITY]),
        ([Held("a", "a CA", False)], {}, []),
        ([Held("a", "ours, without its key", False)], {"a": record()}, []),
        ([Held("a", "com.apple.systemdefault", True)], {}, []),
        ([Held("a", "com.apple.x", True)], {"a": record(S.RETIRED)}, [What.OLD_IDENTITY]),
        ([Held("b", "", True), Held("c", "", True)], {"a": record()}, [What.IDENTITY_MISSING, *[What.UNKNOWN_IDENTITY] * 2]),
    ],
)
def test_findings(listed: list[Held], records: dict[str, OnRecord], expected: list[What]) -> None:
    assert [found.what for found in findings(listed, records, told_at=TOLD_AT, now=NOW)] == expected


def test_what_is_told_of_each() -> None:
    (old,) = findings(LISTED, {"a": record(S.RETIRED)}, told_at=TOLD_AT, now=NOW)
    assert (old.sha256, old.name, old.state, old.not_after) == ("a", "device's word", S.RETIRED, NOW + 10 * HOUR)
    (missing,) = findings(NOT_LISTED, {"a": record()}, told_at=TOLD_AT, now=NOW)
    assert missing.name == "CN=ours"


def test_only_the_hash_of_a_certificate_is_looked_at() -> None:
    junk = ListedCertificate("n" * 1000, True, b"no certificate at all")
    (one,) = held(CertificateListAnswer((junk,)))
    assert one == Held("ef98762c9f2f13a853994d329586b39417897fe0e7fd507f1fe1ca2127fec506", "n" * 100, True)


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ({}, None),
        ({"a": record()}, None),
        ({"a": record(S.RETIRED)}, None),
        ({"b": record(S.SUPERSEDED)}, None),
        ({"a": record(S.SUPERSEDED)}, NOW - 10 * HOUR + 72 * HOUR),
    ],
)
def test_when_what_was_superseded_should_be_gone(records: dict[str, OnRecord], expected: object) -> None:
    assert superseded_until(LISTED, records, 72 * HOUR) == expected
