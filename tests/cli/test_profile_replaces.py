"""`bramley profile validate --replaces`, as an admin types it."""

from __future__ import annotations

import plistlib
from collections.abc import Callable
from pathlib import Path

import pytest

from bramley.clock import SystemClock
from bramley.pki import certificates, keys, names
from bramley.pki.ca import profiles
from bramley.pki.ca.authority import Authority, issue, self_signed
from tests.cli.kit import UDID, URL, Run

IDENTITY = "00000000-0000-4000-8000-000000000003"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "desk"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def profile(run: Run, data: Path, desk: Path) -> Run:
    """Runs `bramley profile` on the installation, in a folder of the test's own."""
    return lambda *arguments: run("profile", *arguments, "--data", data)


def _enrollment(**mdm: object) -> bytes:
    common = {"PayloadVersion": 1, "PayloadDisplayName": "x"}
    scep = {"PayloadType": "com.apple.security.scep", "PayloadIdentifier": "o.scep", "PayloadUUID": IDENTITY, **common}
    scep["PayloadContent"] = {"URL": "https://mdm.example/scep", "Challenge": "open sesame", "Keysize": 2048, "Key Usage": 5}
    usual = {"IdentityCertificateUUID": IDENTITY, "Topic": "com.apple.mgmt.External.1", "ServerURL": "https://mdm.example/mdm"}
    managed = {"PayloadType": "com.apple.mdm", "PayloadIdentifier": "o.mdm", "PayloadUUID": "M", **common}
    profile = {"PayloadType": "Configuration", "PayloadIdentifier": "o", "PayloadUUID": "O", **common}
    return plistlib.dumps({**profile, "PayloadContent": [scep, {**managed, **usual, "AccessRights": 3, **mdm}]})


def test_a_replacement_is_held_against_what_devices_have(profile: Run, desk: Path) -> None:
    (desk / "former.mobileconfig").write_bytes(_enrollment())
    (desk / "fine.mobileconfig").write_bytes(_enrollment(AccessRights=1, SignMessage=True))
    (desk / "moved.mobileconfig").write_bytes(_enrollment(AccessRights=7, ServerURL="https://mdm.example/mdm?device=k.token"))
    for former in ("former.mobileconfig", "signed.mobileconfig"):
        if former == "signed.mobileconfig":
            assert profile("sign", "former.mobileconfig", "-o", former).code == 0
        fine = profile("validate", "fine.mobileconfig", "--replaces", former)
        assert (fine.code, fine.out) == (0, "Nothing is wrong with it.\n")
        moved = profile("validate", "moved.mobileconfig", "--replaces", former, "--json")
        assert (moved.code, "k.token" in moved.out) == (1, False)
        assert [(each["severity"], each["key"], each["rule"]) for each in moved.json["findings"]] == [
            ("error", "PayloadContent[1].ServerURL", "immutable"),
            ("error", "PayloadContent[1].AccessRights", "rights-never-grow"),
        ]
    assert profile("validate", "moved.mobileconfig").code == 0, "by itself it is a good profile"
    assert "adds 4" in profile("validate", "moved.mobileconfig", "--replaces", "former.mobileconfig").out


def test_what_nobody_can_compare_exits_2(profile: Run, desk: Path) -> None:
    (desk / "former.mobileconfig").write_bytes(_enrollment())
    wifi = {"PayloadType": "com.apple.wifi.managed", "PayloadVersion": 1, "PayloadIdentifier": "w", "PayloadUUID": IDENTITY}
    other = {"PayloadType": "Configuration", "PayloadVersion": 1, "PayloadIdentifier": "x", "PayloadUUID": "X"}
    (desk / "other.mobileconfig").write_bytes(plistlib.dumps({**other, "PayloadContent": [wifi]}))
    key, now = keys.generate(keys.KeyAlgorithm.RSA_2048), SystemClock().now()
    ca = Authority(self_signed(profiles.ROOT_CA, key, names.make("CA"), now=now), key)
    device = issue(ca, profiles.DEVICE_IDENTITY, key.public_key(), subject=names.make("device"), now=now)
    (desk / "device.pem").write_bytes(certificates.pem(device))
    sealed = ("sign", "former.mobileconfig", "-o", "sealed.mobileconfig", "--encrypt-to", "device.pem")
    assert profile(*sealed).code == 0
    for file, former, words in (
        ("sealed.mobileconfig", "former.mobileconfig", "The profile is encrypted"),
        ("former.mobileconfig", "sealed.mobileconfig", "The former profile is encrypted"),
        ("former.mobileconfig", "other.mobileconfig", "Expected an enrollment profile to be replaced"),
        ("former.mobileconfig", "nothing.mobileconfig", "cannot be read"),
        ("former.mobileconfig", "device.pem", "Expected a configuration profile"),
    ):
        done = profile("validate", file, "--replaces", former)
        assert (done.code, words in done.err) == (2, True), done.err
    compared = profile("validate", "other.mobileconfig", "--replaces", "former.mobileconfig", "--json")
    assert compared.code == 1
    found = {each["rule"] for each in compared.json["findings"] if each["severity"] == "error"}
    assert {"same-identifier", "one-MDM-payload"} <= found


def test_what_the_device_would_refuse_is_not_sent(run: Run, data: Path, desk: Path, snapshot: Callable[[], list[int]]) -> None:
    topic = "com.apple.mgmt.External.tests"
    urls = {"ServerURL": f"{URL}/mdm/connect", "CheckInURL": f"{URL}/mdm/checkin"}
    usual = {"Topic": topic, **urls, "ServerCapabilities": ["com.apple.mdm.per-user-connections"]}
    mine = plistlib.loads(_enrollment(**usual)) | {"PayloadIdentifier": "bramley.enrollment"}
    moved = plistlib.loads(_enrollment(**usual, EnrollmentMode="BYOD")) | {"PayloadIdentifier": "bramley.enrollment"}
    (desk / "mine.mobileconfig").write_bytes(plistlib.dumps(mine))
    (desk / "moved.mobileconfig").write_bytes(plistlib.dumps(moved))
    request = {"RequestType": "InstallProfile", "Payload": plistlib.dumps(moved)}
    (desk / "moved.plist").write_bytes(plistlib.dumps({"Command": request}))
    before = snapshot()
    for given in (("InstallProfile", "--profile", "moved.mobileconfig"), ("--plist", "moved.plist")):
        for dry_run in ((), ("--dry-run",)):
            done = run("device", "command", UDID, *given, *dry_run, "--data", data)
            assert (done.code, "PayloadContent[1].EnrollmentMode" in done.err, "immutable" in done.err) == (2, True, True)
    lost = run("device", "command", UDID, "InstallProfile", "--profile", "mine.mobileconfig", "--data", data)
    assert (lost.code, "bramley identity renew" in lost.err) == (2, True)
    assert snapshot() == before
