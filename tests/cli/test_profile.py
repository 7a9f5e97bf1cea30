"""`bramley profile` and `bramley device tag`, as an admin types them."""

from __future__ import annotations

import plistlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bramley.clock import SystemClock
from bramley.pki import certificates, keys, names
from bramley.pki.ca import profiles
from bramley.pki.ca.authority import self_signed
from bramley.profiles.sign import sign
from tests.cli.kit import UDID, Run
from tests.operations.signer_kit import MAIL, make

WIFI = "example.wifi"


def written(**changes: Any) -> bytes:
    payload = {
        "PayloadType": "com.apple.wifi.managed",
        "PayloadVersion": 1,
        "PayloadIdentifier": f"{WIFI}.1",
        "PayloadUUID": "00000000-0000-4000-8000-000000000002",
        "SSID_STR": "Orchard {{ device.udid }}",
        "EncryptionType": "WPA2",
        "Password": "correct horse battery",
        **changes,
    }
    profile = {
        "PayloadType": "Configuration",
        "PayloadVersion": 1,
        "PayloadIdentifier": WIFI,
        "PayloadUUID": "00000000-0000-4000-8000-000000000001",
        "PayloadDisplayName": "Wi-Fi",
        "PayloadContent": [payload],
    }
    return plistlib.dumps(profile)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "desk"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "wifi.mobileconfig").write_bytes(written())
    (folder / "cafe.mobileconfig").write_bytes(written(SSID_STR="Café"))
    return folder


@pytest.fixture
def profile(run: Run, data: Path, desk: Path) -> Run:
    """Runs `bramley profile` on the installation, in a folder of the test's own that has a profile."""
    return lambda *arguments: run("profile", *arguments, "--data", data)


def test_kept_assigned_shown_and_forgotten(profile: Run, run: Run, data: Path, snapshot: Callable[[], list[int]]) -> None:
    before = snapshot()
    assert profile("add", "wifi.mobileconfig", "--encrypt", "--dry-run", "--json").json["changed"] is True
    assert snapshot() == before
    kept = profile("add", "wifi.mobileconfig", "--encrypt")
    assert (kept.code, kept.out) == (0, f"{WIFI}: kept, revision 1; encrypted and signed\n")
    assert "the same" in profile("add", "wifi.mobileconfig", "--encrypt").out
    assert run("device", "tag", UDID, "--add", "staff", "--data", data).out == f"{UDID}: staff\n"
    assert "2 new of 2" in profile("assign", WIFI, "--device", UDID, "--tag", "staff").out
    shown = profile("show", WIFI, "--json").json
    assert [each["kind"] for each in shown["assigned_to"]] == ["device", "tag"]
    assert (shown["handling"], shown["devices"]) == ("encrypt", [])
    assert "tag staff, 1 device(s)" in profile("show", WIFI).out
    (row,) = profile("list", "--json").json
    assert row["devices_by_state"]["installed"] == 0
    checked = profile("check", UDID, "--json").json
    assert [(each["profile"], each["state"]) for each in checked["profiles"]] == [(WIFI, None)]
    refused = profile("remove", WIFI, "--yes")
    assert (refused.code, "unassign" in refused.err) == (2, True)
    assert profile("unassign", WIFI, "--device", UDID, "--tag", "staff").code == 0
    assert profile("export", WIFI, "-o", "out.mobileconfig").code == 0
    assert Path("out.mobileconfig").read_bytes() == written()
    assert Path("out.mobileconfig").stat().st_mode & 0o777 == 0o600
    assert profile("remove", WIFI).code == 2  # nobody to ask
    assert profile("remove", WIFI, "--yes").code == 0
    assert profile("list", "--json").json == []


def test_no_secret_of_it_is_shown(profile: Run) -> None:
    shown = [
        profile("add", "wifi.mobileconfig"),
        profile("show", WIFI),
        profile("list", "--json"),
        profile("inspect", "wifi.mobileconfig"),
    ]
    assert all("correct horse" not in each.out + each.err for each in shown)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("add", "bad.mobileconfig"), "SSID_STR"),
        (("add", "missing.mobileconfig"), "cannot be read"),
        (("show", "nothing"), "There is no profile"),
        (("assign", "nothing", "--tag", "staff"), "There is no profile"),
        (("assign", "nothing"), "--device or --tag"),
        (("check", "nobody"), "There is no device"),
        (("sign", "bad.mobileconfig", "-o", "out"), "SSID_STR"),
        (("sign", "wifi.mobileconfig", "-o", "out"), "with --device"),
        (("sign", "cafe.mobileconfig", "-o", "out", "--encrypt-to", "ec.pem"), "not RSA"),
        (("sign", "wifi.mobileconfig", "-o", "out", "--device", "nobody"), "There is no device"),
        (("sign", "wifi.mobileconfig", "-o", "out", "--device", "x", "--encrypt-to", "ec.pem"), "exclude each other"),
        (("sign", "wifi.mobileconfig", "-o", "out", "--cipher", "aes-256-cbc"), "goes with --encrypt-to or --device"),
    ],
)
def test_bad_input_exits_2_and_writes_nothing(
    profile: Run, desk: Path, snapshot: Callable[[], list[int]], arguments: tuple[str, ...], words: str
) -> None:
    (desk / "bad.mobileconfig").write_bytes(written(SSID_STR=7))
    key = keys.generate(keys.KeyAlgorithm.P_256)
    now = SystemClock().now()
    (desk / "ec.pem").write_bytes(certificates.pem(self_signed(profiles.ROOT_CA, key, names.make("EC"), now=now)))
    before = snapshot()
    done = profile(*arguments)
    assert (done.code, words in done.err) == (2, True), done.err
    assert snapshot() == before
    assert not (desk / "out").exists()


def test_signed_and_inspected(profile: Run, run: Run, desk: Path) -> None:
    assert profile("sign", "cafe.mobileconfig", "-o", "signed.mobileconfig").code == 0
    seen = profile("inspect", "signed.mobileconfig", "--json").json
    assert (seen["devices_show"], len(seen["chain"])) == ("Verified", 3)
    assert seen["file"]["what"] == "configuration profile"
    assert seen["file"]["inside"][0]["not_after"]
    assert seen["file"]["details"]["signature"] == "good"
    elsewhere = run("profile", "inspect", "signed.mobileconfig", "--data", desk / "nowhere", "--json").json
    assert elsewhere["devices_show"] == "Unverified"
    assert profile("inspect", "wifi.mobileconfig", "--json").json["devices_show"] == "Not Signed"
    changed = bytearray((desk / "signed.mobileconfig").read_bytes())
    changed[changed.index(b"correct horse")] ^= 1
    (desk / "changed.mobileconfig").write_bytes(changed)
    broken = profile("inspect", "changed.mobileconfig", "--json")
    assert (broken.code, broken.json["devices_show"]) == (1, "refused")


def test_the_device_that_a_profile_is_encrypted_to_is_named(profile: Run) -> None:
    assert profile("sign", "wifi.mobileconfig", "-o", "for.mobileconfig", "--device", UDID).code == 0
    (named,) = profile("inspect", "for.mobileconfig", "--json").json["encrypted_to"]
    assert named["device"] == UDID
    assert f"encrypted to  {UDID}" in profile("inspect", "for.mobileconfig").out
    assert profile("inspect", "cafe.mobileconfig", "--json").json["encrypted_to"] == []


def test_signed_by_another_identity_without_an_installation(run: Run, desk: Path) -> None:
    key, now = keys.generate(keys.KeyAlgorithm.P_256), SystemClock().now()
    alone = make("Alone", None, key, now, MAIL).certificate
    (desk / "identity.pem").write_bytes(certificates.pem(alone))
    (desk / "key.der").write_bytes(keys.to_pkcs8(key))
    named = ("--identity", "identity.pem", "--identity", "key.der", "--data", desk / "nowhere")
    assert run("profile", "sign", "cafe.mobileconfig", "-o", "signed.mobileconfig", *named).code == 0
    assert (desk / "signed.mobileconfig").read_bytes() != sign(written(SSID_STR="Café"), certificate=alone, key=key, now=now)
    seen = run("profile", "inspect", "signed.mobileconfig", "--anchor", "identity.pem", "--data", desk / "nowhere", "--json").json
    assert seen["devices_show"] == "Verified"


def test_built_and_validated(profile: Run, desk: Path) -> None:
    payload = "  - type: wifi\n    ssid: Orchard {{ device.serial }}\n    encryption: None\n"
    (desk / "guests.yaml").write_text(f"identifier: example.guests\nname: Guests\npayloads:\n{payload}")
    assert profile("build", "guests.yaml", "-o", "guests.mobileconfig").code == 0
    assert profile("validate", "guests.mobileconfig", "--for", "iOS 17.4").out == "Nothing is wrong with it.\n"
    assert profile("add", "guests.mobileconfig").code == 0
    assert profile("build", "guests.yaml", "-o", "guests.mobileconfig").code == 2, "something is in the way"
    (desk / "bad.mobileconfig").write_bytes(written(SSID_STR=7, Colour="red"))
    bad = profile("validate", "bad.mobileconfig", "--json")
    assert bad.code == 1
    assert {(each["severity"], each["rule"]) for each in bad.json["findings"]} == {("error", "type"), ("warning", "known-key")}
    assert profile("validate", "bad.mobileconfig", "--for", "BeOS").code == 2
    (desk / "bad.yaml").write_text("identifier: example.guests\nname: [\n")
    assert profile("build", "bad.yaml", "-o", "out").code == 2
    nowhere = profile("build", "guests.yaml", "-o", "nowhere/out")
    assert (nowhere.code, "There is no folder nowhere" in nowhere.err, (desk / "nowhere").exists()) == (2, True, False)
    assert not (desk / "out").exists()
