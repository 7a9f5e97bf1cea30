"""`bramley network`, as an admin types it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from bramley.clock import SystemClock
from bramley.pki import certificates, keys, names
from bramley.pki.ca import profiles
from bramley.pki.ca.authority import self_signed
from tests.cli.kit import UDID, Run

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "network-identities.md"
TEMPLATE = re.findall(r"^```text\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)[0]
"""The first template of the page."""

NAME = "office-wifi"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "template.toml"
    path.write_text(TEMPLATE)
    return path


@pytest.fixture
def network(run: Run, data: Path) -> Run:
    return lambda *arguments: run("network", *arguments, "--data", data)


def test_a_template_is_kept_shown_and_forgotten(network: Run, file: Path, snapshot: Callable[[], list[int]]) -> None:
    assert "No templates" in network("template", "list").err
    before = snapshot()
    assert network("template", "add", file, "--dry-run", "--json").json["changed"] is True
    assert snapshot() == before
    assert network("template", "add", file).out == f"{NAME}: kept; for wifi, issued by Bramley\n"
    assert "the same" in network("template", "add", file).out
    (row,) = network("template", "list", "--json").json
    assert (row["name"], row["use"], row["issuer"], row["devices"], row["lifetime_days"]) == (NAME, "wifi", "bramley", 0, 365)
    shown = network("template", "show", NAME)
    assert "O=Orchard, CN={{ device.serial }}" in shown.out
    assert "com.apple.wifi.managed" in shown.out
    assert NAME in network("template", "list").out
    file.write_text(TEMPLATE.replace("365", "100"))
    assert network("template", "add", file, "--json").json["lifetime_days"] == 100
    assert network("template", "remove", NAME).code == 2  # nobody to ask
    assert network("template", "remove", NAME, "--yes").code == 0
    assert network("template", "list", "--json").json == []


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ('use = "wifi"', 'use = "tea"', "use:"),
        ('"CN"', '"XN"', "subject[1]"),
        ("{{ device.serial }}.devices", "{{ device.shoe }}.devices", "san.dNSName"),
        ("key_size = 2048", "key_size = 1024", "key_size:"),
        ("name =", "nome =", "name:"),
        ("SSID_STR", "SSID", "payloads:"),
    ],
)
def test_a_bad_template_is_refused_by_key(
    network: Run, file: Path, snapshot: Callable[[], list[int]], was: str, becomes: str, said: str
) -> None:
    before = snapshot()
    file.write_text(TEMPLATE.replace(was, becomes))
    refused = network("template", "add", file)
    assert (refused.code, said in refused.err) == (2, True), refused.err
    assert snapshot() == before


def test_assigned_renewed_listed_and_taken_away(network: Run, file: Path, snapshot: Callable[[], list[int]]) -> None:
    network("template", "add", file)
    before = snapshot()
    assert network("assign", NAME, UDID, "--dry-run").out.endswith("InstallProfile would be queued (nothing was changed)\n")
    (tried,) = network("assign", NAME, UDID, "--dry-run", "--json").json["sent"]
    assert tried["command_uuid"] is None
    assert network("assign", NAME, UDID, "nobody").code == 2  # all or none
    assert snapshot() == before
    (sent,) = network("assign", NAME, UDID, "--json").json["sent"]
    assert (sent["device_id"], sent["state"]) == (UDID, "sent")
    assert "already" in network("assign", NAME, UDID).out
    (again,) = network("renew", UDID, NAME, "--json").json["sent"]
    assert again["command_uuid"] not in (None, sent["command_uuid"])
    (row,) = network("list", "--device", UDID, "--json").json
    assert (row["template"], row["state"], row["certificate"], row["device_key"]) == (NAME, "sent", None, "0123456789abcdef")
    assert network("list", "--template", "other", "--json").json == []
    table = network("list").out
    assert NAME in table
    assert "\x1b" not in table  # the device's name is its own choice
    refused = network("template", "remove", NAME, "--yes")
    assert (refused.code, "network unassign" in refused.err) == (2, True)
    nothing = network("revoke", UDID, NAME, "--reason", "lost", "--yes")
    assert (nothing.code, "no network identity" in nothing.err) == (2, True)
    assert network("unassign", NAME, UDID).code == 2  # nobody to ask
    (taken,) = network("unassign", NAME, UDID, "--yes", "--json").json["devices"]
    assert (taken["ended"], taken["command_uuid"] is None) == ([], False)
    assert network("unassign", NAME, UDID, "--yes").code == 2
    assert network("renew", UDID).code == 2


def test_what_is_not_there(network: Run, run: Run, data: Path) -> None:
    for arguments in (("assign", NAME, UDID), ("template", "show", NAME), ("template", "remove", NAME, "--yes")):
        refused = network(*arguments)
        assert (refused.code, NAME in refused.err) == (2, True), arguments
    own = run("certs", "list", "--kind", "device-identity", "--json", "--data", data).json[0]["serial"]
    refused = network("revoke", own, "--reason", "x", "--yes")
    assert (refused.code, "not a network identity" in refused.err) == (2, True)


@pytest.mark.usefixtures("device_gone")
def test_a_device_that_has_left_gets_none(network: Run, file: Path) -> None:
    network("template", "add", file)
    gone = network("assign", NAME, UDID)
    assert (gone.code, "checked-out" in gone.err) == (2, True)


def test_an_outside_cas_challenge_is_shown_nowhere(network: Run, file: Path, data: Path) -> None:
    now, key = SystemClock().now(), keys.generate(keys.KeyAlgorithm.P_256)
    ca = certificates.pem(self_signed(profiles.ROOT_CA, key, names.make("Outside"), now=now)).decode()
    secret = "open sesame, CA"
    file.write_text(
        'name = "vpn"\nuse = "vpn"\nsubject = [["CN", "{{ device.serial }}"]]\n'
        f'[outside]\nurl = "https://scep.example/scep"\nchallenge = "{secret}"\nca = """\n{ca}"""\n'
    )
    shown = [network("template", "add", file), network("template", "show", "vpn"), network("template", "list", "--json")]
    assert [each.code for each in shown] == [0, 0, 0], shown
    assert all(secret not in each.out + each.err for each in shown)
    assert "https://scep.example/scep" in shown[1].out
    assert all(secret.encode() not in path.read_bytes() for path in data.rglob("*") if path.is_file())
