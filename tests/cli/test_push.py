"""`bramley push`: from nothing to a renewed certificate by hand, with the stand-ins' portals, as an admin would do it."""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bramley.cli.push.start import WAYS
from bramley.clock import SystemClock
from bramley.model.enrollments import Enrollment, EnrollmentID, EnrollmentKey, EnrollmentState
from bramley.operations import pushing
from bramley.operations.installation import open_installation
from bramley.pki import certificates
from bramley.sandbox.portals import SandboxApple
from bramley.settings import load
from bramley.storage.protocols import Tx
from tests.cli.kit import UDID, Run

ACCOUNT, EMAIL = "it@orchard.example", "push@orchard.example"


@pytest.fixture
def portals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SandboxApple:
    """Apple's portals, whose root is Apple's as far as the settings go."""
    made = SandboxApple.make(SystemClock())
    made.identity.sign_up(ACCOUNT)
    made.developer.sign_up("dev@orchard.example", organization="Orchard", enterprise=True)
    roots = tmp_path / "roots.pem"
    roots.write_bytes(made.ca.root_pem)
    monkeypatch.setenv("BRAMLEY_APPLE_ROOTS_FILE", str(roots))
    return made


@pytest.fixture
def push(run: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `bramley push` on the installation, in a folder of the test's own."""
    folder = tmp_path / "desk"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return lambda *arguments: run("push", *arguments, "--data", data)


@pytest.fixture
def vendor(push: Run, portals: SandboxApple) -> None:
    """The vendor certificate is in force."""
    assert push("vendor", "request", "--email", EMAIL, "--account", "dev@orchard.example").code == 0
    cer = portals.developer.issue_vendor("dev@orchard.example", Path("VendorCertificateRequest.csr").read_bytes())
    Path("mdm.cer").write_bytes(cer)
    chain = Path("wwdr.pem")
    chain.write_bytes(b"".join(certificates.pem(each.certificate) for each in portals.ca.wwdr.values()))
    assert push("vendor", "import", "mdm.cer", "--chain", chain, "--offline").code == 0


def change(data: Path, act: Callable[[Tx], Any]) -> None:
    async def run() -> None:
        installation = await open_installation(load(environment={}, data=data), SystemClock(), {})
        await installation.store.run(act)
        await installation.store.close()

    asyncio.run(run())


def enroll(data: Path, topic: str) -> None:
    """One more enrolled device."""
    now = SystemClock().now()
    made = Enrollment(EnrollmentKey("k2"), EnrollmentState.ACTIVE, now, now, id=EnrollmentID("second"), topic=topic)
    change(data, lambda tx: tx.enrollments.add(made))


def others(data: Path) -> int:
    """Devices of the installation that the fixtures enrolled under a topic of their own."""
    counted: list[int] = []
    change(data, lambda tx: counted.append(sum(tx.enrollments.devices_by_topic().values())))
    return counted[-1]


class TestStart:
    @pytest.mark.parametrize("route", ["vendor", "mdmcert.download", "profile-manager"])
    def test_each_way_states_price_conditions_and_risks(self, run: Run, route: str) -> None:
        (way,) = run("push", "start", "--have", route, "--json").json
        assert way["route"] == route
        assert all(way[key] for key in ("price", "conditions", "risks", "steps"))

    def test_without_a_terminal_all_are_shown(self, run: Run) -> None:
        shown = run("push", "start")
        assert "US$ 300 a year" in shown.out
        assert "doubtful legality" in shown.out
        assert "third party" in shown.out
        assert "second factor" in shown.err

    def test_a_person_is_asked_what_they_have(self) -> None:
        leader, follower = pty.openpty()
        ended = subprocess.Popen(
            [sys.executable, "-m", "bramley", "push", "start"], stdin=follower, stdout=follower, stderr=follower
        )
        os.close(follower)
        os.write(leader, b"n\n" * (len(WAYS) - 1) + b"y\n")
        shown = b""
        with suppress(OSError):
            while part := os.read(leader, 65536):
                shown += part
        os.close(leader)
        assert ended.wait(timeout=30) == 0
        assert WAYS[-1].question.encode() in shown
        assert b"doubtful legality" in shown
        assert b"US$ 300 a year" not in shown

    def test_every_step_is_a_command_that_exists(self, run: Run) -> None:
        for way in WAYS:
            for step in way.steps:
                words = [word for word in step.split()[1:] if word.islower() and not word.startswith("-")]
                assert run(*words[: 3 if words[1] in {"vendor", "mdmcert"} else 2], "--help").code == 0


class TestByTheOwnVendorCertificate:
    def test_from_nothing_to_a_renewal(self, push: Run, data: Path, portals: SandboxApple, vendor: None) -> None:
        asked = push("request", "--email", EMAIL, "--account", ACCOUNT, "--json").json
        assert (asked["topic"], asked["found"], asked["account"]) == (None, False, ACCOUNT)
        signed = push("sign", "--json").json
        assert "choose Create" in signed["next"]
        file = Path("PushCertificateRequest.plist")
        assert file.stat().st_mode & 0o777 == 0o600
        Path("push.pem").write_bytes(certificates.pem(portals.identity.create(ACCOUNT, file.read_bytes())))
        done = push("import", "push.pem", "--other-devices", others(data), "--json").json
        assert (done["account"], done["state"], done["warnings"][1:]) == (ACCOUNT, "active", [])
        topic = done["topic"]
        enroll(data, topic)

        assert push("request", "--email", EMAIL, "--topic", topic, "--json").json["topic"] == topic
        again = push("sign", "--output", "renewal.plist")
        assert f"signed in as {ACCOUNT}, choose Renew, not Create, for the certificate of {topic}" in again.err
        renewed = portals.identity.renew(ACCOUNT, topic, Path("renewal.plist").read_bytes())
        Path("renewed.cer").write_bytes(certificates.der(renewed))
        assert push("import", "renewed.cer", "--dry-run").code == 0
        assert "is on trial" in push("import", "renewed.cer").out
        found = {row["topic"]: row for row in push("status", "--json").json}
        assert found[topic]["on_trial"]["state"] == "issued"
        assert found[topic]["next"]["mover"] == "server"
        assert push("rollback", "--topic", topic, "--yes", "--json").json["serial"] == found[topic]["active"]["serial"]

    def test_a_dry_run_writes_no_file_and_moves_nothing(
        self, push: Run, portals: SandboxApple, vendor: None, snapshot: Callable[[], list[int]]
    ) -> None:
        push("request", "--email", EMAIL, "--account", ACCOUNT)
        before = snapshot()
        assert push("sign", "--dry-run").code == 0
        assert push("request", "--email", EMAIL, "--new-key", "--dry-run").code == 0
        assert not Path("PushCertificateRequest.plist").exists()
        assert snapshot() == before

    def test_a_file_in_the_way_leaves_the_request_unsigned(self, push: Run, portals: SandboxApple, vendor: None) -> None:
        push("request", "--email", EMAIL, "--account", ACCOUNT)
        Path("PushCertificateRequest.plist").write_text("precious")
        shown = push("sign")
        assert (shown.code, "something is in the way" in shown.err) == (2, True)
        assert Path("PushCertificateRequest.plist").read_text() == "precious"
        (row,) = [row for row in push("status", "--json").json if row["requested"]]
        assert row["requested"]["state"] == "planned"

    def test_being_the_vendor_of_others(self, push: Run, portals: SandboxApple, vendor: None) -> None:
        subprocess.run(
            [
                "openssl",
                "req",
                "-new",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-keyout",
                "their.key",
                "-subj",
                "/CN=Pear",
                "-out",
                "their.csr",
            ],
            check=True,
            capture_output=True,
        )
        assert push("sign", "--csr", "their.csr", "--output", "their.plist").code == 0
        portals.identity.sign_up("it@pear.example")
        certificate = portals.identity.create("it@pear.example", Path("their.plist").read_bytes())
        assert (
            b"PUBLIC KEY"
            in subprocess.run(
                ["openssl", "x509", "-noout", "-pubkey"], input=certificates.pem(certificate), capture_output=True, check=True
            ).stdout
        )

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("request", "--email", "nobody", "--account", ACCOUNT), "Expected one mail address"),
            (("request", "--email", EMAIL, "--account", ACCOUNT, "--country", "USA"), "two letters"),
            (("request", "--email", EMAIL), "Expected the Apple Account"),
            (("sign",), "no open request"),
            (("sign", "--csr", "/dev/null"), "Expected a certificate request"),
            (("vendor", "import", "/dev/null"), "Expected"),
            (("rollback", "--yes"), "There is no push certificate"),
            (("resume",), "There is no push certificate"),
            (("account", " "), "Expected the name of an Apple Account"),
            (("rescue", "--topic", "com.apple.mgmt.none"), "Nothing here knows"),
            (("mdmcert", "request", "--email", EMAIL, "--account", ACCOUNT), "mdmcert.client_key is empty"),
            (("mdmcert", "decrypt", "/dev/null"), "Nothing was sent"),
        ],
    )
    def test_bad_input_changes_nothing(
        self, push: Run, snapshot: Callable[[], list[int]], arguments: tuple[str, ...], words: str
    ) -> None:
        before = snapshot()
        shown = push(*arguments)
        assert (shown.code, shown.err.count("error:")) == (2, 1)
        assert words in shown.err
        assert snapshot() == before


class TestStanding:
    @pytest.fixture
    def topic(self, push: Run, data: Path, portals: SandboxApple) -> str:
        mac = portals.server_app("mac")
        mac.turn_on(ACCOUNT)
        Path("pm.p12").write_bytes(mac.export("orchard"))
        Path("password").write_text("orchard\n")
        more = ("--route", "profile-manager", "--other-devices", others(data))
        done = push("import", "pm.p12", "--password-file", "password", *more, "--json")
        topic: str = done.json["topic"]
        return topic

    def test_an_account_is_noted_later(self, push: Run, topic: str) -> None:
        assert push("account", ACCOUNT, "--topic", topic, "--json").json == {"topic": topic, "account": ACCOUNT}
        assert {row["topic"]: row["account"] for row in push("status", "--json").json}[topic] == ACCOUNT

    def test_devices_of_a_topic_without_a_certificate_make_status_exit_1(self, push: Run, topic: str) -> None:
        shown = push("status", "--json")
        assert shown.code == 1
        (stray,) = [row for row in shown.json if row["active"] is None]
        assert stray["devices"] == 1
        assert UDID in push("rescue", "--topic", stray["topic"], "--topic-lost").out

    def test_a_paused_topic(self, push: Run, data: Path, topic: str) -> None:
        change(data, lambda tx: tx.notes.set(pushing.paused_note(topic), "BadCertificate"))
        enroll(data, topic)
        assert push("status").code == 1
        shown = push("rescue", "--topic", topic)
        assert (shown.code, "BadCertificate" in shown.out) == (1, True)

    def test_rescue_says_where_nothing_is_wrong(self, push: Run, topic: str) -> None:
        shown = push("rescue", "--topic", topic)
        assert (shown.code, "nothing is wrong" in shown.out) == (0, True)


def test_secrets_stay_out_of_what_is_printed(push: Run, run: Run, data: Path) -> None:
    shown = push("request", "--email", EMAIL, "--account", ACCOUNT, "--output", "push.csr", "--json")
    told = shown.out + shown.err + Path("push.csr").read_text() + run("events", "--data", data, "--json").out
    assert "PRIVATE" not in told
