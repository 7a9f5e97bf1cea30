"""Outside CAs: trusted, listed, trusted no more; what is none is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from bramley.errors import BadInput, BramleyError
from bramley.mdm.errors import Refused
from bramley.operations import trusted_cas
from bramley.operations.errors import NotReady
from bramley.operations.live import Live
from bramley.operations.outside_scep import ca_of
from bramley.pki import certificates, keys, names
from bramley.pki.ca import profiles
from bramley.pki.ca.authority import Authority, issue, self_signed
from tests.conftest import NOW, SetClock


def authority(name: str = "Cider CA", lifetime: timedelta | None = None) -> Authority:
    key = keys.generate(keys.KeyAlgorithm.P_256)
    return Authority(self_signed(profiles.ROOT_CA, key, names.make(name), now=NOW, lifetime=lifetime), key)


def identity(ca: Authority) -> bytes:
    key = keys.generate(keys.KeyAlgorithm.P_256)
    made = issue(ca, profiles.DEVICE_IDENTITY, key.public_key(), subject=names.make("device"), now=NOW)
    return certificates.der(made)


async def test_its_identities_chain_while_it_is_trusted(live: Live) -> None:
    ca = authority()
    with pytest.raises(Refused):
        live.current().trust.admit(identity(ca), NOW, timedelta())
    version = await trusted_cas.trust(live.installation, ca.certificate, actor="test")
    assert await live.refresh()
    live.current().trust.admit(identity(ca), NOW, timedelta())
    assert ca.certificate in live.current().identity_issuers
    again = await trusted_cas.trust(live.installation, ca.certificate, actor="test")
    assert again.id == version.id
    gone, shut_out = await trusted_cas.distrust(live.installation, (version.sha256 or "").upper(), actor="test")
    assert (gone.id, shut_out) == (version.id, 0)
    assert await live.refresh()
    with pytest.raises(Refused):
        live.current().trust.admit(identity(ca), NOW, timedelta())
    with pytest.raises(BadInput, match="no trusted outside CA"):
        await trusted_cas.distrust(live.installation, version.id, actor="test")
    await trusted_cas.trust(live.installation, ca.certificate, actor="test")
    assert len(await live.installation.store.read(trusted_cas.read)) == 1


async def test_what_is_refused_changes_nothing(live: Live) -> None:
    own, now = live.current().authorities, NOW
    weak = rsa.generate_private_key(65537, 1024)
    name = names.make("Weak CA")
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1).public_key(weak.public_key())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=9))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    root = authority()
    twin = own.identity.authority.certificate.subject
    key = keys.generate(keys.KeyAlgorithm.P_256)
    for certificate in (
        own.root.certificate,
        own.identity.authority.certificate,
        certificates.load(identity(root)),
        authority(lifetime=timedelta(seconds=1)).certificate,
        builder.sign(weak, hashes.SHA256()),
        self_signed(profiles.ROOT_CA, key, twin, now=now),
    ):
        later = replace(live.installation, clock=SetClock(NOW + timedelta(minutes=1)))
        with pytest.raises(BramleyError):
            await trusted_cas.trust(later, certificate, actor="test")
    assert await live.installation.store.read(trusted_cas.read) == []
    assert not await live.refresh()


async def test_which_of_them_issues(live: Live) -> None:
    scep = live.installation.settings.scep
    with pytest.raises(NotReady, match="there are 0"):
        ca_of(live.current(), scep)
    first, second = authority("First"), authority("Second")
    await trusted_cas.trust(live.installation, first.certificate, actor="test")
    await live.refresh()
    assert ca_of(live.current(), scep).certificate == first.certificate
    await trusted_cas.trust(live.installation, second.certificate, actor="test")
    await live.refresh()
    with pytest.raises(NotReady, match="there are 2"):
        ca_of(live.current(), scep)
    named = replace(scep, outside_ca=certificates.sha256(second.certificate).upper())
    assert ca_of(live.current(), named).certificate == second.certificate
