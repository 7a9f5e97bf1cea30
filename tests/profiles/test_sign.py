"""Signed profiles, with OpenSSL, which we did not write, as the judge; and the refusal to sign badly."""

from __future__ import annotations

import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from bramley.pki import certificates, cms, keys
from bramley.pki.keys import KeyAlgorithm
from bramley.profiles.errors import CannotSign
from bramley.profiles.sign import sign
from tests.operations.signer_kit import PKI, make

from .kit import NOW, Signing

PROFILE = b'<?xml version="1.0" encoding="UTF-8"?>\n<plist version="1.0"><dict/></plist>\n'


def test_openssl_verifies_it_and_reads_the_profile(signing: Signing, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command here to verify with")
    signed = sign(PROFILE, certificate=signing.signer, key=signing.key, chain=(signing.ca,), now=NOW)
    (tmp_path / "signed").write_bytes(signed)
    (tmp_path / "root.pem").write_bytes(certificates.pem(signing.root))
    at = str(int(NOW.timestamp()))
    command = f"openssl cms -verify -binary -inform DER -in signed -CAfile root.pem -attime {at} -out profile"
    done = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "profile").read_bytes() == PROFILE


def test_the_signer_comes_first_then_its_chain_and_the_time_is_ours(signing: Signing) -> None:
    signed = cms.parse_signed_data(sign(PROFILE, certificate=signing.signer, key=signing.key, chain=(signing.ca,), now=NOW))
    assert signed.certificates == (certificates.der(signing.signer), certificates.der(signing.ca))
    verified = cms.verify(signed, policy=cms.STRICT)
    assert (verified.content, verified.signing_time, verified.digest) == (PROFILE, NOW, "sha256")


def test_a_signer_that_has_ended_or_not_begun_signs_nothing(signing: Signing) -> None:
    end, begin = signing.signer.not_valid_after_utc, signing.signer.not_valid_before_utc
    for moment in (end + timedelta(seconds=1), begin - timedelta(seconds=1)):
        with pytest.raises(CannotSign, match="valid"):
            sign(PROFILE, certificate=signing.signer, key=signing.key, now=moment)
    assert sign(PROFILE, certificate=signing.signer, key=signing.key, now=end)


@pytest.mark.parametrize("begins_and_ends", [(-10, -1), (1, 10)], ids=["ended", "not begun"])
def test_a_chain_that_is_not_valid_now_signs_nothing(signing: Signing, begins_and_ends: tuple[int, int]) -> None:
    """The signer's own certificate is good at the time; each CA that comes with it has to be, too."""
    pki = PKI.at(NOW)
    above = make("Cider CA", pki.root, pki.ca.key, NOW, ca=True, days=begins_and_ends)
    signer = make("Cider Signer", above, pki.ec, NOW)
    with pytest.raises(CannotSign, match=certificates.sha256(above.certificate)):
        sign(PROFILE, certificate=signer.certificate, key=signer.key, chain=(above.certificate,), now=NOW)
    with pytest.raises(CannotSign, match=certificates.sha256(above.certificate)):
        sign(PROFILE, certificate=signing.signer, key=signing.key, chain=(signing.ca, above.certificate), now=NOW)


def test_a_key_that_is_not_the_signers_signs_nothing(signing: Signing) -> None:
    with pytest.raises(CannotSign, match="another key"):
        sign(PROFILE, certificate=signing.signer, key=keys.generate(KeyAlgorithm.P_256), now=NOW)
