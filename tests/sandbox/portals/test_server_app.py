"""Profile Manager: a certificate in one step, an export that openssl opens, and a topic that lives and dies with the Mac."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bramley.apple.push.topic import topic_of
from bramley.pki import certificates
from bramley.sandbox.portals import NotAMember, PortalRefused, SandboxApple
from tests.conftest import SetClock
from tests.sandbox.portals.kit import ACCOUNT, openssl


def test_openssl_opens_an_export(portals: SandboxApple, tmp_path: Path) -> None:
    mac = portals.server_app("mac")
    issued = mac.turn_on(ACCOUNT)
    (tmp_path / "pm.p12").write_bytes(mac.export("secret"))
    openssl("pkcs12", "-legacy", "-in", tmp_path / "pm.p12", "-passin", "pass:secret", "-nodes", "-out", tmp_path / "pm.pem")
    said = openssl("pkcs12", "-legacy", "-in", tmp_path / "pm.p12", "-passin", "pass:secret", "-noout", "-info")
    assert "pbeWithSHA1And3-KeyTripleDES-CBC" in said
    assert "MAC: sha1" in said
    pem = (tmp_path / "pm.pem").read_bytes()
    assert certificates.load_chain(pem) == (issued,)
    key = load_pem_private_key(pem[pem.index(b"-----BEGIN PRIVATE") :], None)
    assert certificates.matches(issued, key.public_key())  # type: ignore[arg-type]


def test_only_the_machine_that_made_a_topic_renews_it(portals: SandboxApple, clock: SetClock) -> None:
    first, second = portals.server_app("first"), portals.server_app("second")
    old = first.turn_on(ACCOUNT)
    topic = topic_of(old)
    with pytest.raises(PortalRefused, match="no push certificate on this machine"):
        second.renew()
    assert topic_of(second.turn_on(ACCOUNT)) != topic
    for _ in range(3):  # Apple's own vendor certificate lapses on the way, and is renewed
        clock.moment += timedelta(days=360)
        renewed = first.renew()
        assert (topic_of(renewed), first.topic, first.certificate) == (topic, topic, renewed)
        assert certificates.public_key(renewed) != certificates.public_key(old)
    assert [len(row.issued) for row in portals.identity.list(ACCOUNT)] == [4, 1]


def test_a_wiped_machine_has_lost_its_topic(portals: SandboxApple) -> None:
    mac = portals.server_app("mac")
    topic = topic_of(mac.turn_on(ACCOUNT))
    with pytest.raises(PortalRefused, match="on already"):
        mac.turn_on(ACCOUNT)
    mac.wipe()
    for attempt in (mac.renew, lambda: mac.export("x"), lambda: mac.topic):
        with pytest.raises(PortalRefused, match="no push certificate"):
            attempt()
    assert topic_of(portals.server_app("mac").turn_on(ACCOUNT)) != topic


def test_an_unknown_apple_account_turns_nothing_on(portals: SandboxApple) -> None:
    with pytest.raises(NotAMember):
        portals.server_app("mac").turn_on("nobody")
    assert not portals.server_app("mac").is_on
