"""Kept in a folder and opened again, it is the same Apple: same CAs, accounts, topics, machines and mail."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509

from bramley.apple.push.topic import topic_of
from bramley.errors import BadInput
from bramley.pki import certificates
from bramley.sandbox.apple_ca import SandboxAppleCA
from bramley.sandbox.kept_files import FolderTrouble, UnusableFolder
from bramley.sandbox.portals import NotVisible, PortalRefused, SandboxApple, opened
from tests.conftest import NOW, SetClock
from tests.sandbox.portals.kit import ACCOUNT, DEVELOPER, OTHER_ACCOUNT, Request


def test_everything_comes_back(
    portals: SandboxApple, vendor: x509.Certificate, request_for: Callable[..., Request], tmp_path: Path, clock: SetClock
) -> None:
    request = request_for()
    topic = topic_of(portals.identity.create(ACCOUNT, request.file))
    revoked = topic_of(portals.identity.create(OTHER_ACCOUNT, request.file))
    portals.identity.revoke(OTHER_ACCOUNT, revoked)
    mac_topic = topic_of(portals.server_app("mac").turn_on(ACCOUNT))
    portals.mdmcert.register("mdm@orchard.example")
    client_key = portals.mdmcert.client_key("bramley")
    portals.mdmcert.vendor.neglect()
    portals.save(tmp_path / "apple")
    portals.save(tmp_path / "apple")

    again = SandboxApple.load(tmp_path / "apple", clock)
    assert certificates.pem(again.ca.root) == portals.ca.root_pem
    assert [row.topic for row in again.identity.list(ACCOUNT)] == [topic, mac_topic]
    assert topic_of(again.identity.renew(ACCOUNT, topic, request.file)) == topic
    with pytest.raises(NotVisible):
        again.identity.renew(OTHER_ACCOUNT, topic, request.file)
    with pytest.raises(PortalRefused, match="revoked"):
        again.identity.renew(OTHER_ACCOUNT, revoked, request.file)
    assert topic_of(again.server_app("mac").renew()) == mac_topic
    assert again.developer.members[DEVELOPER].issued == [vendor]
    assert again.mdmcert.client_key("bramley") == client_key
    assert again.mdmcert.mail("mdm@orchard.example") == []
    assert again.mdmcert.vendor.current().certificate == portals.mdmcert.vendor.current().certificate
    again.developer.revoke(DEVELOPER, vendor)
    again.save(tmp_path / "apple")
    assert SandboxApple.load(tmp_path / "apple", clock).developer.is_revoked(vendor)


def test_files_are_for_their_owner(portals: SandboxApple, tmp_path: Path) -> None:
    folder = tmp_path / "apple"
    portals.save(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    names = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    stems = ("ca", "intermediate", "wwdr-g3", "wwdr-g4")
    assert names == dict.fromkeys(["portals.json", *(f"{stem}.{end}" for stem in stems for end in ("pem", "key"))], 0o600)


def test_an_older_folder_gets_the_cas_that_it_lacks(apple: SandboxAppleCA, tmp_path: Path) -> None:
    apple.save(tmp_path)
    for path in tmp_path.glob("wwdr-*"):
        path.unlink()
    found = SandboxAppleCA.load(tmp_path, NOW)
    assert (found.root, found.intermediate) == (apple.root, apple.intermediate)
    for generation, issuer in found.wwdr.items():
        assert issuer.certificate != apple.wwdr[generation].certificate
        issuer.certificate.verify_directly_issued_by(apple.root)
    found.save(tmp_path)
    assert SandboxAppleCA.load(tmp_path, NOW).wwdr["G3"].certificate == found.wwdr["G3"].certificate


def test_a_new_folder_is_a_new_apple(tmp_path: Path) -> None:
    assert SandboxAppleCA.load(tmp_path / "a", NOW).root != SandboxAppleCA.load(tmp_path / "a", NOW).root
    assert not (tmp_path / "a").exists()


def test_a_folder_that_is_something_else(portals: SandboxApple, tmp_path: Path, clock: SetClock) -> None:
    def refused(folder: Path, words: str) -> None:
        with pytest.raises(UnusableFolder, match=words) as error:
            SandboxApple.load(folder, clock)
        assert isinstance(error.value, BadInput)
        assert "PRIVATE" not in str(error.value)

    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(UnusableFolder, match="in the way"):
        portals.save(file)
    with pytest.raises(UnusableFolder, match="in the way"), opened(file, clock):
        pytest.fail("opened a file as a folder")
    refused(file, "in the way")
    portals.save(tmp_path / "half")
    (tmp_path / "half" / "wwdr-g3.key").unlink()
    refused(tmp_path / "half", "half of a CA")
    portals.save(tmp_path / "rootless")
    for name in ("ca.pem", "ca.key"):
        (tmp_path / "rootless" / name).unlink()
    refused(tmp_path / "rootless", "without their root")
    portals.save(tmp_path / "keys")
    (tmp_path / "keys" / "ca.key").write_bytes(b"nothing")
    refused(tmp_path / "keys", "private key")
    portals.save(tmp_path / "certificate")
    (tmp_path / "certificate" / "intermediate.pem").write_bytes(b"nothing")
    refused(tmp_path / "certificate", "cannot be used")
    with pytest.raises(UnusableFolder, match="in the way"):
        SandboxAppleCA.make(NOW).save(tmp_path / "half")


@pytest.mark.parametrize(
    "change",
    [
        lambda _: b"{",
        lambda _: b"[]",
        lambda said: json.dumps({**said, "machines": {"m": {"profile_manager": {"account": 1}}}}).encode(),
        lambda said: json.dumps({**said, "own_vendor": {"vendor": {"certificate": "x", "key": "y"}}}).encode(),
        lambda said: json.dumps(said).encode() + b"x",
    ],
)
def test_records_that_no_stand_in_wrote(
    change: Callable[[object], bytes], portals: SandboxApple, tmp_path: Path, clock: SetClock
) -> None:
    portals.save(tmp_path)
    path = tmp_path / "portals.json"
    path.write_bytes(change(json.loads(path.read_bytes())))
    with pytest.raises(UnusableFolder, match=r"portals\.json is not what a stand-in wrote"):
        SandboxApple.load(tmp_path, clock)


def test_an_error_leaves_the_folder_as_it_was(tmp_path: Path, clock: SetClock) -> None:
    with opened(tmp_path, clock) as apple:
        apple.identity.sign_up(ACCOUNT)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(NotVisible), opened(tmp_path, clock) as apple:
        apple.identity.sign_up(OTHER_ACCOUNT)
        apple.identity.renew(ACCOUNT, "none", b"")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    with opened(tmp_path, clock) as apple:
        assert apple.identity.accounts == {ACCOUNT}


def test_a_folder_that_cannot_be_written(portals: SandboxApple, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    portals.save(tmp_path)
    before = (tmp_path / "portals.json").read_bytes()
    portals.identity.sign_up("another")
    monkeypatch.setattr("os.open", full)
    with pytest.raises(FolderTrouble, match="No space left"):
        portals.save(tmp_path)
    assert (tmp_path / "portals.json").read_bytes() == before
