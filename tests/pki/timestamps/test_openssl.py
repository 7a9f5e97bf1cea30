"""Timestamps of OpenSSL's authority: it reads what we ask, we read what it answers, and it verifies what we take."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asn1crypto import tsp

from bramley.pki import certificates, cms, timestamps
from bramley.pki.cms import STRICT
from bramley.pki.keys import KeyAlgorithm
from tests.pki.timestamps.authority import Signer, make_authority, make_signer, run

MESSAGE = b"the value of a signature"


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize(("ess", "ess_chain"), [("sha1", "no"), ("sha256", "yes"), ("sha512", "no")])
def test_what_openssl_answers_is_taken(digest: str, ess: str, ess_chain: str, signer: Signer, tmp_path: Path) -> None:
    authority = make_authority(tmp_path / "tsa", signer, digest=digest, ess=ess, ess_chain=ess_chain)
    asked = timestamps.request(MESSAGE)
    begun = datetime.now(UTC)
    found = timestamps.accept(authority.reply(asked.der), asked)
    assert found.certificate == signer.certificate
    assert set(found.others) == set(signer.cas)
    assert found.accuracy == timedelta(seconds=1, milliseconds=500, microseconds=100)
    assert timedelta(0) <= found.time - begun < timedelta(minutes=5)
    assert timestamps.verify(found.token, MESSAGE, policy=STRICT) == found


def test_an_authority_with_an_elliptic_key(tmp_path: Path) -> None:
    signer = make_signer(algorithm=KeyAlgorithm.P_256)
    asked = timestamps.request(MESSAGE)
    found = timestamps.accept(make_authority(tmp_path / "tsa", signer).reply(asked.der), asked)
    assert found.certificate == signer.certificate


def test_openssl_verifies_the_token_that_was_taken(signer: Signer, tmp_path: Path) -> None:
    asked = timestamps.request(MESSAGE)
    found = timestamps.accept(make_authority(tmp_path / "tsa", signer).reply(asked.der), asked)
    (tmp_path / "query").write_bytes(asked.der)
    (tmp_path / "token").write_bytes(found.token)
    (tmp_path / "root.pem").write_bytes(certificates.pem(signer.cas[-1]))
    given = ("-queryfile", tmp_path / "query", "-in", tmp_path / "token", "-token_in", "-CAfile", tmp_path / "root.pem")
    assert "Verification: OK" in run("ts", "-verify", *given)


def test_openssl_and_asn1crypto_read_what_we_ask(tmp_path: Path) -> None:
    asked = timestamps.request(MESSAGE)
    (tmp_path / "query").write_bytes(asked.der)
    shown = run("ts", "-query", "-in", tmp_path / "query", "-text")
    assert "Hash Algorithm: sha256" in shown
    assert "Certificate required: yes" in shown
    read = tsp.TimeStampReq.load(asked.der, strict=True).native
    assert read["message_imprint"]["hashed_message"] == hashlib.sha256(MESSAGE).digest()
    assert (read["nonce"], read["cert_req"], read["version"]) == (asked.nonce, True, "v1")


def test_every_request_has_a_nonce_of_its_own() -> None:
    assert len({timestamps.request(MESSAGE).nonce for _ in range(50)}) == 50


@pytest.mark.parametrize("digest", ["sha256", "sha512"])
def test_a_token_over_what_openssl_asked_holds_for_that_alone(digest: str, signer: Signer, tmp_path: Path) -> None:
    authority = make_authority(tmp_path / "tsa", signer, accepted="sha256, sha512")
    (tmp_path / "data").write_bytes(MESSAGE)
    run("ts", "-query", "-data", tmp_path / "data", f"-{digest}", "-cert", "-out", tmp_path / "query")
    token = authority.reply((tmp_path / "query").read_bytes(), "-token_out")
    assert timestamps.verify(token, MESSAGE, policy=STRICT).certificate == signer.certificate
    with pytest.raises(timestamps.BadTimestamp, match="over something else"):
        timestamps.verify(token, MESSAGE + b"!", policy=STRICT)


def test_without_its_certificate_a_token_proves_nothing(signer: Signer, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(MESSAGE)
    run("ts", "-query", "-data", tmp_path / "data", "-sha256", "-out", tmp_path / "query")
    token = make_authority(tmp_path / "tsa", signer).reply((tmp_path / "query").read_bytes(), "-token_out")
    assert cms.parse_signed_data(token).certificates == ()
    with pytest.raises(timestamps.BadTimestamp, match="certificate is not among the 0"):
        timestamps.verify(token, MESSAGE, policy=STRICT)


def test_what_openssl_declines_is_told_with_its_words(signer: Signer, tmp_path: Path) -> None:
    authority = make_authority(tmp_path / "tsa", signer, accepted="sha512")
    asked = timestamps.request(MESSAGE)
    with pytest.raises(timestamps.Declined, match=r"rejection \(.*not supported.*, badAlg\)"):
        timestamps.accept(authority.reply(asked.der), asked)
