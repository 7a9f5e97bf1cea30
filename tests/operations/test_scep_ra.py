"""An RA in front of the identity CA: when there is one, and who opens what."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from bramley.lifecycle import schedule
from bramley.model.kinds import Kind
from bramley.model.lineages import Policy, Version
from bramley.operations import scep, scep_ra
from bramley.operations.errors import NotReady
from bramley.operations.live import Live
from bramley.pki import certificates, chains, cms, keys
from tests.conftest import SetClock

from .conftest import challenge_for
from .scep_kit import Client, give_elliptic_ca, with_scep

Keys = list[keys.PrivateKey]


async def ensured(live: Live) -> Version | None:
    """What a start and the housekeeping do."""
    installation = live.installation
    held, now = live.current().authorities, installation.clock.now()
    made = await installation.store.run(lambda tx: scep_ra.ensure(tx, installation, held, now=now))
    await live.refresh()
    return made


async def with_elliptic_ca(live: Live) -> None:
    await give_elliptic_ca(live.installation)
    await live.refresh()


async def client(live: Live, key: keys.PrivateKey) -> Client:
    return Client.make(live, key, (await challenge_for(live)).secret)


async def test_by_default_the_ca_answers_and_no_ra_is_made(live: Live) -> None:
    assert await ensured(live) is None
    snapshot = live.current()
    assert [each.certificate for each in snapshot.responders] == [snapshot.authorities.identity.authority.certificate]
    assert await live.installation.store.read(lambda tx: tx.lineages.of_kind(Kind.SCEP_RA)) == []


async def test_with_the_setting_an_ra_answers_and_the_ca_opens_nothing(live: Live, device_keys: Keys) -> None:
    to_the_ca = await client(live, device_keys[0])
    server = await with_scep(live, mode="ra")
    with pytest.raises(NotReady):
        _ = server.current().responder
    assert await ensured(server) is not None
    assert await ensured(server) is None  # one is enough

    ca, (responder,) = server.current().authorities.identity.authority.certificate, server.current().responders
    assert responder.certificate != ca
    got = await (await client(server, device_keys[0])).send()
    assert isinstance(got, x509.Certificate)
    got.verify_directly_issued_by(ca)
    assert (await scep.respond(server, to_the_ca.sent.message)).refused == "WrongRecipient"


async def test_the_ras_certificate_is_good_for_this_and_nothing_else(live: Live) -> None:
    server = await with_scep(live, mode="ra")
    await ensured(server)
    ra, authority = server.current().responder.certificate, server.current().authorities.identity.authority
    chains.verify(ra, intermediates=[authority.certificate], anchors=list(authority.chain), at=live.installation.clock.now())
    usage = certificates.extension(ra, x509.KeyUsage)
    assert usage is not None
    assert (usage.digital_signature, usage.key_encipherment, usage.key_cert_sign, usage.crl_sign) == (True, True, False, False)
    constraints = certificates.extension(ra, x509.BasicConstraints)
    assert constraints is not None
    assert not constraints.ca
    bound = await live.installation.store.read(lambda tx: tx.enrollments.binding(certificates.sha256(ra)))
    assert bound is None


async def test_in_front_of_an_elliptic_ca_there_is_one_whatever_the_setting(live: Live, device_keys: Keys) -> None:
    await with_elliptic_ca(live)
    with pytest.raises(NotReady, match="RA"):
        _ = live.current().responder
    assert await ensured(live) is not None

    got = await (await client(live, device_keys[0])).send()

    assert isinstance(got, x509.Certificate)
    ca = live.current().authorities.identity.authority.certificate
    assert isinstance(ca.public_key(), ec.EllipticCurvePublicKey)
    got.verify_directly_issued_by(ca)


async def test_whoever_was_told_of_the_rsa_ca_before_is_answered_by_it(live: Live, device_keys: Keys) -> None:
    told_before = await client(live, device_keys[0])
    former = live.current().authorities.identity.authority.certificate
    await with_elliptic_ca(live)
    await ensured(live)

    reply = await scep.respond(live, told_before.sent.message)

    assert reply.refused is None
    signed = cms.verify(cms.parse_signed_data(reply.message), policy=cms.STRICT)
    assert signed.certificate == certificates.der(former)


async def test_another_ca_gets_an_ra_of_its_own(live: Live) -> None:
    server = await with_scep(live, mode="ra")
    first = await ensured(server)
    await with_elliptic_ca(server)
    second = await ensured(server)
    assert first is not None
    assert second is not None
    ca = server.current().authorities.identity
    assert second.issuer_version == ca.version != first.issuer_version
    server.current().responder.certificate.verify_directly_issued_by(ca.authority.certificate)


async def test_it_is_renewed_in_time_and_the_old_one_opens_until_its_end(live: Live, device_keys: Keys, clock: SetClock) -> None:
    server = await with_scep(live, mode="ra")
    first = await ensured(server)
    assert first is not None
    due = schedule.due_at(first, Policy())
    assert due is not None
    assert first.not_after is not None
    clock.moment = due - timedelta(seconds=1)
    assert await ensured(server) is None
    early, late = await client(server, device_keys[0]), await client(server, device_keys[1])

    clock.moment = due
    second = await ensured(server)

    assert second is not None
    assert [certificates.sha256(each.certificate) for each in server.current().responders] == [second.sha256, first.sha256]
    # it was told of the old one, and has its answer signed by that one
    assert isinstance(await early.send(), x509.Certificate)
    clock.moment = first.not_after + timedelta(seconds=1)
    assert (await scep.respond(server, late.sent.message)).refused == "WrongRecipient"


async def test_back_in_single_ca_mode_both_open(live: Live, device_keys: Keys) -> None:
    server = await with_scep(live, mode="ra")
    await ensured(server)
    to_the_ra = await client(server, device_keys[0])
    back = await with_scep(live, mode="ca")
    ca = back.current().authorities.identity.authority.certificate
    assert back.current().responder.certificate == ca
    assert isinstance(await replace(to_the_ra, live=back).send(), x509.Certificate)
    assert isinstance(await (await client(back, device_keys[1])).send(), x509.Certificate)
