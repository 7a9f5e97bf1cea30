"""Renewals are held against what their devices were enrolled with: one that is made wrongly is not signed, and not queued."""

from __future__ import annotations

import plistlib
from dataclasses import replace
from typing import Any

import pytest

from bramley.model.enrollments import EnrollmentKey, IdentityRoute, Purpose
from bramley.operations import enrollment_profiles, former_profiles, identities, outside_identities
from bramley.operations.live import Live
from bramley.pki import keys
from bramley.profiles import enrollment, former
from bramley.profiles.errors import BadProfile
from bramley.profiles.former import FormerProfile
from bramley.storage.protocols import Tx
from tests.profiles.changes import REFUSED, TAKEN, changed, path

from .conftest import enrolled

UDID = "00008030-001A35E40212802E"
ROUTES = [IdentityRoute.SCEP, IdentityRoute.PKCS12]
OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "url": ({"base_url": "https://elsewhere.example"}, "ServerURL"),
    "query": ({"query": "device=k.other"}, "ServerURL"),
    "topic": ({"topic": "com.apple.mgmt.External.other"}, "Topic"),
    "users": ({"per_user_connections": False}, "ServerCapabilities"),
    "identifier": ({"identifier_prefix": "russet"}, "PayloadIdentifier"),
}
"""Settings of another server, and what shows it."""


@pytest.fixture
async def device(live: Live, device_keys: list[keys.PrivateKey], topic: str) -> EnrollmentKey:
    """An active device."""
    key = await enrolled(live, device_keys[0], UDID)
    await _put(live, key, topic=topic)
    return key


async def _put(live: Live, key: EnrollmentKey, **fields: Any) -> None:
    def change(tx: Tx) -> None:
        found = tx.enrollments.get(key)
        assert found is not None
        tx.enrollments.update(replace(found, **fields))

    await live.installation.store.run(change)


async def _bring_in(live: Live, key: EnrollmentKey, topic: str) -> dict[str, Any]:
    """Makes it the device of a former MDM; the profile of that one."""

    def payload(kind: str, uuid: str, **rest: Any) -> dict[str, Any]:
        return {"PayloadType": kind, "PayloadVersion": 1, "PayloadIdentifier": f"old.{uuid}", "PayloadUUID": uuid, **rest}

    urls = {"ServerURL": "https://mdm.example.test/mdm", "CheckInURL": "https://mdm.example.test/mdm/in"}
    mdm = payload("com.apple.mdm", "MDM", IdentityCertificateUUID="gone", Topic=topic, AccessRights=19, **urls)
    profile = payload("Configuration", "TOP", PayloadContent=[mdm])
    kept = FormerProfile("0" * 16, topic, plistlib.dumps(profile))
    sealer = live.installation.sealer
    await _put(live, key, invariants=await live.installation.store.run(lambda tx: former_profiles.keep(tx, sealer, kept)))
    return profile


def _switch(live: Live, source: IdentityRoute) -> None:
    settings = live.installation.settings
    live.installation = replace(live.installation, settings=replace(settings, identity=replace(settings.identity, source=source)))


async def _left(live: Live) -> tuple[int, int, int, int]:
    """Commands, jobs, challenges and certificates: what a renewal leaves behind."""

    def count(tx: Tx) -> tuple[int, int, int, int]:
        challenges = [each for key in tx.enrollments.find() for each in tx.challenges.unspent(key.key, Purpose.RENEW)]
        return tx.commands.count_pending(), len(tx.jobs.of_kind("push")), len(challenges), len(tx.lineages.certificates())

    return await live.installation.store.read(count)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("case", OTHERS)
async def test_one_of_another_server_is_not_sent(
    live: Live, device: EnrollmentKey, monkeypatch: pytest.MonkeyPatch, route: IdentityRoute, case: str
) -> None:
    _switch(live, route)
    before = await _left(live)
    fields, key = OTHERS[case]
    monkeypatch.setattr(
        enrollment_profiles,
        "enrollment_profile",
        lambda settings, **rest: enrollment.enrollment_profile(replace(settings, **fields), **rest),
    )
    with pytest.raises(BadProfile) as caught:
        await identities.renew(live, UDID, actor="test")
    assert caught.value.key.endswith(key)
    assert await _left(live) == before


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("case", REFUSED)
async def test_one_that_changes_a_former_profile_is_not_sent(
    live: Live, device: EnrollmentKey, topic: str, monkeypatch: pytest.MonkeyPatch, route: IdentityRoute, case: str
) -> None:
    _switch(live, route)
    theirs = await _bring_in(live, device, topic)
    before = await _left(live)
    change, key, rule = REFUSED[case]
    monkeypatch.setattr(former, "renewal", lambda _kept, _ours: plistlib.dumps(changed(theirs, change)))
    with pytest.raises(BadProfile) as caught:
        await identities.renew(live, UDID, actor="test")
    assert (caught.value.key, caught.value.rule) == (path(theirs, key), rule)
    assert await _left(live) == before


@pytest.mark.parametrize("case", TAKEN)
async def test_what_may_change_of_a_former_profile_is_sent(
    live: Live, device: EnrollmentKey, topic: str, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    theirs = await _bring_in(live, device, topic)
    monkeypatch.setattr(former, "renewal", lambda _kept, _ours: plistlib.dumps(changed(theirs, TAKEN[case])))
    assert (await identities.renew(live, UDID, actor="test")).request_type == "InstallProfile"


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("invariants", ["", outside_identities.INVARIANTS, "former"])
async def test_those_that_are_made_rightly_are_sent(
    live: Live, device: EnrollmentKey, topic: str, route: IdentityRoute, invariants: str
) -> None:
    _switch(live, route)
    if invariants == "former":
        await _bring_in(live, device, topic)
    else:
        await _put(live, device, invariants=invariants)
    await identities.renew(live, UDID, actor="test")
    assert (await _left(live))[0] == 1
