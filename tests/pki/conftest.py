"""Keys made once a run, a small hierarchy of CAs, and OpenSSL, which we did not write, to say whether we are right."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

import pytest
from cryptography import x509

from bramley.pki import keys, names
from bramley.pki.ca.authority import Authority, issue, self_signed
from bramley.pki.ca.profiles import DEVICE_IDENTITY, IDENTITY_CA, ROOT_CA
from bramley.pki.keys import KeyAlgorithm, PrivateKey

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def key_of() -> Callable[..., PrivateKey]:
    """`key_of(algorithm, "a name")`: one key for each algorithm and name in the whole run."""

    @cache
    def key_of(algorithm: KeyAlgorithm, name: str = "") -> PrivateKey:
        return keys.generate(algorithm)

    return key_of


@pytest.fixture(scope="session", params=list(KeyAlgorithm))
def any_key(request: pytest.FixtureRequest, key_of: Callable[..., PrivateKey]) -> PrivateKey:
    """A key of each algorithm in turn."""
    key: PrivateKey = key_of(request.param)
    return key


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """Root, identity CA and one device, as `bramley init` and an enrollment would make them."""

    root: Authority
    identity_ca: Authority
    device_key: PrivateKey
    device: x509.Certificate


@pytest.fixture(scope="session")
def hierarchy(key_of: Callable[..., PrivateKey]) -> Hierarchy:
    root_key, ca_key, device_key = (key_of(KeyAlgorithm.RSA_2048, name) for name in ("root", "identity-ca", "device"))
    root = Authority(self_signed(ROOT_CA, root_key, names.make("Orchard Root", organization="Orchard"), now=NOW), root_key)
    ca_name = names.make("Orchard Identity CA", organization="Orchard")
    ca = issue(root, IDENTITY_CA, ca_key.public_key(), subject=ca_name, now=NOW)
    identity_ca = Authority(ca, ca_key, chain=(root.certificate,))
    device = issue(identity_ca, DEVICE_IDENTITY, device_key.public_key(), subject=names.make("F2LX0001", uid="device-1"), now=NOW)
    return Hierarchy(root, identity_ca, device_key, device)


@pytest.fixture(scope="session")
def openssl() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the `openssl` command; both its outputs come back as text, the exit code unjudged unless `check` is set."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("no openssl command on this machine")

    def run(*arguments: object, check: bool = True, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
        done = subprocess.run([program, *map(str, arguments)], input=stdin, capture_output=True, check=False)
        outputs = (done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))
        if check:
            assert done.returncode == 0, outputs
        return subprocess.CompletedProcess(done.args, done.returncode, *outputs)

    return run
