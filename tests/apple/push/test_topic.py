"""The topic of a push certificate."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bramley.apple.push import BadPushCertificate, topic_of
from bramley.pki.keys import PrivateKey
from bramley.sandbox.apple_ca import SandboxAppleCA
from bramley.sandbox.clock import ShiftedClock


def certificate(*uids: str) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.USER_ID, uid) for uid in uids])
    start = ShiftedClock().now().replace(microsecond=0)
    return (x509.CertificateBuilder(name, name, key.public_key(), 1, start, start.replace(year=start.year + 1))).sign(
        key, hashes.SHA256()
    )


def test_the_uid_is_the_topic(ca: SandboxAppleCA, push_key: PrivateKey, topic: str, clock: ShiftedClock) -> None:
    assert topic_of(ca.issue_push_certificate(push_key.public_key(), topic=topic, now=clock.now())) == topic


@pytest.mark.parametrize(
    ("uids", "found"),
    [
        ((), "none"),
        (("com.example.app",), "'com.example.app'"),
        (("com.apple.mgmtX.External.1",), "'com.apple.mgmtX.External.1'"),
        (("com.apple.mgmt.",), "'com.apple.mgmt.'"),
        (("com.apple.mgmt.External.1", "com.apple.mgmt.External.2"), "External.2"),
    ],
)
def test_any_other_certificate_is_refused_with_what_it_has(uids: tuple[str, ...], found: str) -> None:
    with pytest.raises(BadPushCertificate, match=found):
        topic_of(certificate(*uids))
