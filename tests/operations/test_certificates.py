"""Certificates by whatever name they are called, with what hangs on them."""

from __future__ import annotations

import pytest
from cryptography import x509

from bramley.model.kinds import Kind
from bramley.model.lineages import Policy, VersionState
from bramley.model.networks import lineage_name
from bramley.operations import certificates, records
from bramley.operations.errors import NotFound
from bramley.operations.live import Live
from bramley.pki import certificates as pki
from bramley.pki import keys, names
from bramley.pki.ca.authority import self_signed
from bramley.pki.ca.profiles import ROOT_CA
from bramley.storage.protocols import Tx

from .conftest import enrolled

UDID = "00008030-001A35E40212802E"


async def _identity(live: Live) -> x509.Certificate:
    (row,) = await certificates.listing(live.installation, kind=Kind.DEVICE_IDENTITY)
    assert row.version.certificate is not None
    return pki.load(row.version.certificate)


async def test_it_is_found_by_id_serial_number_and_fingerprint_as_people_write_them(
    live: Live, device_keys: list[keys.PrivateKey]
) -> None:
    await enrolled(live, device_keys[0], UDID)
    certificate = await _identity(live)
    digest, serial = pki.sha256(certificate), f"{certificate.serial_number:x}"
    by_colons = ":".join(digest[at : at + 2] for at in range(0, 64, 2)).upper()
    first = await certificates.show(live.installation, digest)
    for name in (first.row.version.id, digest.upper(), by_colons, serial, f"0{serial.upper()}"):
        assert (await certificates.show(live.installation, name)).row.version.id == first.row.version.id


@pytest.mark.parametrize("name", ["", "0", ":", "ff", UDID])
async def test_what_names_none_is_not_found(live: Live, name: str) -> None:
    with pytest.raises(NotFound, match="There is no certificate"):
        await certificates.show(live.installation, name)


async def test_an_identity_shows_its_device_its_issuer_its_history_and_when_it_is_due(
    live: Live, device_keys: list[keys.PrivateKey]
) -> None:
    key = await enrolled(live, device_keys[0], UDID)
    detail = await certificates.show(live.installation, pki.sha256(await _identity(live)))
    assert (detail.row.enrollment_key, detail.row.enrollment_id) == (key, UDID)
    assert detail.issuer is not None
    assert detail.issuer.id == live.current().authorities.identity.version
    assert [event.kind for event in detail.events] == ["certificate:version:activated", "certificate:version:issued"]
    version = detail.row.version
    assert detail.due_at is not None
    assert version.not_before is not None
    assert version.not_after is not None
    assert version.not_before < detail.due_at < version.not_after


async def test_lists_are_narrowed_by_kind_state_and_end(live: Live) -> None:
    now = live.installation.clock.now()
    own = await certificates.listing(live.installation)
    assert {row.lineage.kind for row in own} == {
        Kind.ROOT_CA,
        Kind.IDENTITY_CA,
        Kind.HTTPS_CA,
        Kind.SIGNER_CA,
        Kind.HTTPS,
        Kind.PROFILE_SIGNER,
        Kind.PUSH,
    }
    assert await certificates.listing(live.installation, expires_before=now) == []
    assert await certificates.listing(live.installation, states=[VersionState.REVOKED]) == []
    (push,) = await certificates.listing(live.installation, kind=Kind.PUSH)
    assert push.enrollment_key is None


async def test_a_network_identity_shows_its_device_though_it_is_bound_to_none(
    live: Live, device_keys: list[keys.PrivateKey]
) -> None:
    key = await enrolled(live, device_keys[0], UDID)
    now = live.installation.clock.now()
    ours, stray = (self_signed(ROOT_CA, each, names.make("Wi-Fi"), now=now) for each in device_keys[1:3])

    def put(tx: Tx) -> None:
        for name, made in ((lineage_name(key, "wifi"), ours), ("nobody:wifi", stray)):
            lineage = records.lineage(tx, Kind.NETWORK_IDENTITY, name, Policy(), now=now)
            records.record(tx, lineage, made, state=VersionState.ISSUED, now=now, actor="test")

    await live.installation.store.run(put)
    rows = await certificates.listing(live.installation, kind=Kind.NETWORK_IDENTITY)
    assert {(row.enrollment_key, row.enrollment_id) for row in rows} == {(key, UDID), (None, None)}
    assert (await certificates.show(live.installation, pki.sha256(ours))).row.enrollment_id == UDID
