"""`bramley identity ca trust` and `distrust`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bramley.clock import SystemClock
from bramley.model.enrollments import IdentityRoute, Purpose
from bramley.model.lineages import VersionID
from bramley.operations import issuing
from bramley.operations.installation import open_installation
from bramley.operations.issuing import Outside
from bramley.pki import certificates, keys, names
from bramley.pki.ca import profiles
from bramley.pki.ca.authority import Authority, issue, self_signed
from bramley.settings import Settings
from bramley.storage.protocols import Tx
from tests.cli.kit import Run


@pytest.fixture
def ca() -> Authority:
    """An outside one."""
    key = keys.generate(keys.KeyAlgorithm.P_256)
    return Authority(self_signed(profiles.ROOT_CA, key, names.make("Corporate CA"), now=SystemClock().now()), key)


@pytest.fixture
def file(ca: Authority, tmp_path: Path) -> Path:
    """Its certificate."""
    path = tmp_path / "ca.pem"
    path.write_bytes(certificates.pem(ca.certificate))
    return path


def give_the_device_an_identity_of(data: Path, ca: Authority, version: str) -> None:
    key, now = keys.generate(keys.KeyAlgorithm.P_256).public_key(), SystemClock().now()
    identity = issue(ca, profiles.DEVICE_IDENTITY, key, subject=names.make("device"), now=now)
    made = Outside(identity, VersionID(version), IdentityRoute.OUTSIDE_SCEP)

    async def give() -> None:
        installation = await open_installation(Settings(data=data), SystemClock(), {})

        def change(tx: Tx) -> None:
            (enrollment,) = tx.enrollments.find()
            issuing.adopt(tx, installation, made, enrollment, Purpose.RENEW, now=now, actor="test")

        await installation.store.run(change)
        await installation.store.close()

    asyncio.run(give())


def test_trusted_listed_and_trusted_no_more(run: Run, data: Path, file: Path, ca: Authority) -> None:
    def known() -> list[str]:
        return [each["subject"] for each in run("identity", "ca", "trust", "--data", data, "--json").json]

    assert known() == []
    assert run("identity", "ca", "trust", file, "--dry-run", "--data", data).out == (
        "CN=Corporate CA: trusted (nothing was changed)\n"
    )
    assert known() == []
    trusted = run("identity", "ca", "trust", file, "--data", data, "--json").json
    assert (trusted["dry_run"], known()) == (False, ["CN=Corporate CA"])
    assert trusted["sha256"] in "".join(run("identity", "ca", "trust", "--data", data).out.split())

    give_the_device_an_identity_of(data, ca, trusted["id"])
    tried = run("identity", "ca", "distrust", trusted["sha256"], "--dry-run", "--data", data)
    assert tried.out == "CN=Corporate CA: no longer trusted; 1 device(s) shut out (nothing was changed)\n"
    # there is nobody to ask, and it was not said beforehand
    refused = run("identity", "ca", "distrust", trusted["sha256"], "--data", data)
    assert refused.code == 2
    assert known() == ["CN=Corporate CA"]
    assert run("identity", "ca", "distrust", trusted["sha256"], "--yes", "--data", data).code == 0
    assert known() == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("trust", "{none}"), "Expected a certificate"),
        (("trust", "{two}"), "found 2"),
        (("trust", "{missing}"), "No such file"),
        (("distrust", "ff", "--yes"), "no trusted outside CA 'ff'"),
    ],
)
def test_what_is_refused_is_one_error(
    run: Run, data: Path, file: Path, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    none, two = tmp_path / "none.pem", tmp_path / "two.pem"
    none.write_text("nothing")
    two.write_bytes(2 * file.read_bytes())
    done = run("identity", "ca", *(each.format(none=none, two=two, missing=tmp_path / "x") for each in words), "--data", data)
    assert (done.code, done.out) == (2, "")
    assert said.lower() in done.err.lower()
    assert run("identity", "ca", "trust", "--data", data, "--json").json == []
