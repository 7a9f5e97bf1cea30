"""The three ways to a push certificate and through its renewal, against stand-ins that are as strict as Apple."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bramley.apple.push_certificate import (
    BadReply,
    MdmcertRefused,
    MissingIssuer,
    NotAVendorCertificate,
    RequestRefused,
    VendorExpired,
    VendorKeyMismatch,
    read_request,
)
from bramley.model.kinds import Kind
from bramley.model.push import Route
from bramley.operations import records
from bramley.operations.errors import Invalid, NotReady, TopicWouldChange
from bramley.operations.installation import Installation
from bramley.operations.push import importing, mdmcert, requests, status, vendor
from bramley.operations.push.importing import Import, Terms
from bramley.operations.push.requests import Asked, Wanted
from bramley.pki import certificates, csr, keys, names
from bramley.sandbox.portals import MdmcertServer, SandboxApple
from tests.conftest import SetClock

from .kit import enroll, everything

ACCOUNT = "it@orchard.example"
EMAIL = "push@orchard.example"


@pytest.fixture
def portals(clock: SetClock) -> SandboxApple:
    made = SandboxApple.make(clock)
    made.identity.sign_up(ACCOUNT)
    made.identity.sign_up("colleague@orchard.example")
    made.developer.sign_up("dev@orchard.example", organization="Orchard", enterprise=True)
    return made


@pytest.fixture
def server(installation: Installation, portals: SandboxApple, tmp_path: Path) -> Installation:
    """The installation, for which the stand-in is Apple."""
    roots = tmp_path / "roots.pem"
    roots.write_bytes(portals.ca.root_pem)
    apple = replace(installation.settings.apple, roots_file=str(roots))
    return replace(installation, settings=replace(installation.settings, apple=apple))


def wanted(route: Route = Route.VENDOR) -> Wanted:
    return Wanted(route, ACCOUNT, EMAIL)


def cas(portals: SandboxApple) -> list[x509.Certificate]:
    return [each.certificate for each in portals.ca.wwdr.values()]


async def succeed(server: Installation, done: Import) -> None:
    """The certificate on trial has pushed once with success."""
    assert done.version is not None
    version = done.version
    await server.store.run(lambda tx: records.promote(tx, version, now=server.clock.now(), actor="test"))


async def become_vendor(server: Installation, portals: SandboxApple) -> x509.Certificate:
    asked = await vendor.ask(server, account="dev@orchard.example", email=EMAIL, actor="test")
    cer = portals.developer.issue_vendor("dev@orchard.example", asked.request.public_bytes(Encoding.PEM))
    certificate = certificates.load(cer)
    await vendor.import_certificate(server, certificate, None, cas=cas(portals), fetch=False, actor="test")
    return certificate


class TestOwnVendorCertificate:
    async def test_from_nothing_to_the_second_renewal(self, server: Installation, portals: SandboxApple, clock: SetClock) -> None:
        await become_vendor(server, portals)
        asked = await requests.ask(server, wanted(), actor="test")
        assert (asked.topic, asked.found, asked.version.state) == (None, False, "planned")
        file = await vendor.sign(server, asked, actor="test")
        certificate = portals.identity.create(ACCOUNT, file)
        done = await importing.import_files(server, [certificates.pem(certificate)], None, actor="test")
        topic = done.topic
        await enroll(server, topic)
        for _year in range(2):
            clock.moment += timedelta(days=330)
            if _year:
                await become_vendor(server, portals)
            asked = await requests.ask(server, wanted(), actor="test")
            assert asked.topic == topic
            file = await vendor.sign(server, asked, actor="test")
            (found,) = await status.overview(server)
            assert found.next is not None
            assert f"signed in as {ACCOUNT}, choose Renew, not Create, for the certificate of {topic}" in found.next.text
            renewed = portals.identity.renew(ACCOUNT, topic, file)
            done = await importing.import_files(server, [certificates.der(renewed)], None, actor="test")
            assert (done.topic, done.on_trial, done.warnings) == (topic, True, done.warnings[:1])
            assert done.version is not None
            assert done.version.id == asked.version.id
            await succeed(server, done)

    async def test_an_open_request_is_given_again(self, server: Installation) -> None:
        first = await requests.ask(server, wanted(), actor="test")
        before = await everything(server)
        second = await requests.ask(server, wanted(), actor="test")
        assert (second.version, second.found) == (first.version, True)
        assert await everything(server) == before
        third = await requests.ask(server, replace(wanted(), new_key=True), actor="test")
        assert third.version.spki_sha256 != first.version.spki_sha256
        assert third.lineage == first.lineage

    async def test_the_key_in_force_only_where_it_is_asked_for(
        self, server: Installation, portals: SandboxApple, clock: SetClock
    ) -> None:
        await become_vendor(server, portals)
        asked = await requests.ask(server, wanted(), actor="test")
        certificate = portals.identity.create(ACCOUNT, await vendor.sign(server, asked, actor="test"))
        await importing.import_files(server, [certificates.pem(certificate)], None, actor="test")
        again = await requests.ask(server, replace(wanted(), reuse_key=True), actor="test")
        assert (again.version.spki_sha256, again.version.key_id) == (asked.version.spki_sha256, asked.version.key_id)
        clock.moment += timedelta(days=1)
        renewed = portals.identity.renew(ACCOUNT, again.topic or "", await vendor.sign(server, again, actor="test"))
        done = await importing.import_files(server, [certificates.pem(renewed)], None, actor="test")
        assert any("has served another push certificate" in warning for warning in done.warnings)

    async def test_an_account_must_be_on_record(self, server: Installation) -> None:
        before = await everything(server)
        with pytest.raises(Invalid, match="Expected the Apple Account"):
            await requests.ask(server, replace(wanted(), account=" "), actor="test")
        assert await everything(server) == before

    async def test_without_a_vendor_certificate(self, server: Installation) -> None:
        asked = await requests.ask(server, wanted(), actor="test")
        with pytest.raises(NotReady, match="no vendor certificate"):
            await vendor.sign(server, asked, actor="test")
        assert (await requests.opened(server, None)).version.state == "planned"

    async def test_an_expired_vendor_certificate_signs_nothing(
        self, server: Installation, portals: SandboxApple, clock: SetClock
    ) -> None:
        await become_vendor(server, portals)
        asked = await requests.ask(server, wanted(), actor="test")
        clock.moment += timedelta(days=366)
        with pytest.raises(VendorExpired):
            await vendor.sign(server, asked, actor="test")

    async def test_the_request_of_another_organization(self, server: Installation, portals: SandboxApple) -> None:
        await become_vendor(server, portals)
        key = keys.generate(keys.KeyAlgorithm.RSA_2048)
        theirs = csr.build(key, names.make("push", organization="Pear School"))
        file = await vendor.sign_other(server, theirs, actor="admin:ann")
        portals.identity.sign_up("it@pear.example")
        certificate = portals.identity.create("it@pear.example", file)
        assert certificates.matches(certificate, key.public_key())
        (told, *_rest) = await server.store.read(lambda tx: tx.events.find(limit=1))
        assert (told.kind, told.actor) == ("push:request:signed", "admin:ann")

    async def test_a_request_that_apple_would_refuse(self, server: Installation, portals: SandboxApple) -> None:
        await become_vendor(server, portals)
        with pytest.raises(RequestRefused):
            elliptic = csr.build(keys.generate(keys.KeyAlgorithm.P_256), names.make("push"))
            await vendor.sign_other(server, elliptic, actor="test")
        with pytest.raises(Invalid, match="certificate request"):
            await vendor.sign_other(server, b"<html>", actor="test")


class TestVendorImport:
    async def test_refused_with_nothing_changed(
        self, server: Installation, portals: SandboxApple, clock: SetClock, device_keys: list[keys.PrivateKey]
    ) -> None:
        asked = await vendor.ask(server, account="dev@orchard.example", email=EMAIL, actor="test")
        cer = certificates.load(portals.developer.issue_vendor("dev@orchard.example", asked.request.public_bytes(Encoding.DER)))
        push = portals.ca.issue_push_certificate(device_keys[0].public_key(), topic="com.apple.mgmt.x", now=clock.now())
        before = await everything(server)
        for certificate, key, given, refusal in (
            (cer, device_keys[0], cas(portals), VendorKeyMismatch),
            (push, device_keys[0], cas(portals), NotAVendorCertificate),
            (cer, None, [], MissingIssuer),
            (push, None, cas(portals), Invalid),
        ):
            with pytest.raises(refusal):
                await vendor.import_certificate(server, certificate, key, cas=given, fetch=False, actor="test")
        assert await vendor.import_certificate(server, cer, None, cas=cas(portals), actor="test", dry_run=True) is None
        assert await everything(server) == before

    async def test_the_chain_is_kept_for_signing_offline(self, server: Installation, portals: SandboxApple) -> None:
        await become_vendor(server, portals)
        rows = await server.store.read(lambda tx: tx.lineages.certificates(kind=Kind.APPLE_ROOT))
        assert len(rows) == 2

    async def test_the_same_twice(self, server: Installation, portals: SandboxApple) -> None:
        certificate = await become_vendor(server, portals)
        with pytest.raises(Invalid, match="is here already"):
            await vendor.import_certificate(server, certificate, None, actor="test")


class TestProfileManager:
    async def test_exported_renewed_and_exported_again(
        self, server: Installation, portals: SandboxApple, clock: SetClock
    ) -> None:
        mac = portals.server_app("mac mini")
        mac.turn_on(ACCOUNT)
        terms = Terms(account=ACCOUNT, route=Route.PROFILE_MANAGER)
        done = await importing.import_files(server, [mac.export("orchard")], "orchard", actor="test", terms=terms)
        await enroll(server, done.topic)
        clock.moment += timedelta(days=300)
        (found,) = await status.overview(server)
        assert found.next is not None
        assert "on the Mac with Server.app that it was exported from" in found.next.text
        mac.renew()
        renewed = await importing.import_files(server, [mac.export("orchard")], "orchard", actor="test")
        assert (renewed.topic, renewed.on_trial) == (done.topic, True)

    async def test_another_mac_has_another_topic(self, server: Installation, portals: SandboxApple) -> None:
        first, second = portals.server_app("kept"), portals.server_app("bought later")
        for mac in (first, second):
            mac.turn_on(ACCOUNT)
        done = await importing.import_files(server, [first.export("pw")], "pw", actor="test")
        await enroll(server, done.topic)
        with pytest.raises(TopicWouldChange, match="1 enrolled"):
            await importing.import_files(server, [second.export("pw")], "pw", actor="test")


@pytest.fixture
async def service(portals: SandboxApple) -> AsyncGenerator[MdmcertServer]:
    running = MdmcertServer(portals.ca, portals.mdmcert.answer)
    await running.start(certificate_from=datetime.now(UTC) - timedelta(days=1))
    yield running
    await running.stop()


@pytest.fixture
def customer(server: Installation, portals: SandboxApple, service: MdmcertServer, tmp_path: Path) -> Installation:
    """The installation, registered with the stand-in for mdmcert.download."""
    portals.mdmcert.register(EMAIL)
    ca_file = tmp_path / "mdmcert-roots.pem"
    ca_file.write_bytes(portals.ca.root_pem)
    found = replace(
        server.settings.mdmcert,
        url=service.url,
        client_key=portals.mdmcert.client_key("bramley-test"),
        ca_file=str(ca_file),
    )
    return replace(server, settings=replace(server.settings, mdmcert=found))


class TestMdmcertDownload:
    async def test_by_mail_and_back(self, customer: Installation, portals: SandboxApple) -> None:
        asked = await requests.ask(customer, wanted(Route.MDMCERT), actor="test")
        await mdmcert.submit(customer, asked, email=EMAIL, actor="test")
        assert (await requests.opened(customer, None)).version.state == "requested"
        (mail,) = portals.mdmcert.mail(EMAIL)
        opened = await mdmcert.open_answer(customer, f"  {mail.body}\r\n\r\n".encode(), actor="test")
        assert read_request(opened.file).csr == asked.request
        assert (await requests.opened(customer, None)).version.state == "awaiting"
        certificate = portals.identity.create(ACCOUNT, opened.file)
        done = await importing.import_files(customer, [certificates.pem(certificate)], None, actor="test")
        assert done.version is not None
        assert done.version.state == "active"

    async def test_refused_by_the_service(self, customer: Installation) -> None:
        asked = await requests.ask(customer, wanted(Route.MDMCERT), actor="test")
        with pytest.raises(MdmcertRefused):
            await mdmcert.submit(customer, asked, email="nobody@registered.example", actor="test")
        assert (await requests.opened(customer, None)).version.state == "planned", "asking again is harmless"

    async def test_without_a_client_key(self, server: Installation) -> None:
        asked = await requests.ask(server, wanted(Route.MDMCERT), actor="test")
        with pytest.raises(NotReady, match=r"mdmcert\.client_key is empty"):
            await mdmcert.submit(server, asked, email=EMAIL, actor="test")

    async def test_while_its_vendor_certificate_is_expired(self, customer: Installation, portals: SandboxApple) -> None:
        """As from March to June 2025: Apple would refuse the file, so it is not given out."""
        portals.mdmcert.vendor.neglect()
        asked = await requests.ask(customer, wanted(Route.MDMCERT), actor="test")
        await mdmcert.submit(customer, asked, email=EMAIL, actor="test")
        (mail,) = portals.mdmcert.mail(EMAIL)
        with pytest.raises(VendorExpired):
            await mdmcert.open_answer(customer, mail.body.encode(), actor="test")
        assert (await requests.opened(customer, None)).version.state == "requested"

    async def test_an_answer_to_somebody_else(self, customer: Installation, portals: SandboxApple) -> None:
        asked = await requests.ask(customer, wanted(Route.MDMCERT), actor="test")
        await mdmcert.submit(customer, asked, email=EMAIL, actor="test")
        (mail,) = portals.mdmcert.mail(EMAIL)
        await requests.ask(customer, replace(wanted(Route.MDMCERT), new_key=True), actor="test")
        with pytest.raises(Invalid, match="not open here"):
            await mdmcert.open_answer(customer, mail.body.encode(), actor="test")
        with pytest.raises(BadReply):
            await mdmcert.open_answer(customer, b"<html>", actor="test")


async def test_further_topics_stand_beside_the_first(server: Installation, portals: SandboxApple) -> None:
    await become_vendor(server, portals)

    async def get(asked: Asked) -> str:
        certificate = portals.identity.create(ACCOUNT, await vendor.sign(server, asked, actor="test"))
        terms = Terms(other_devices=1) if asked.topic is None and (await status.overview(server))[0].devices else None
        return (await importing.import_files(server, [certificates.pem(certificate)], None, actor="test", terms=terms)).topic

    first = await get(await requests.ask(server, wanted(), actor="test"))
    await enroll(server, first)
    second = await get(await requests.ask(server, replace(wanted(), further=True), actor="test"))
    assert {found.topic for found in await status.overview(server)} == {first, second}
    with pytest.raises(Invalid, match="Say which one by --topic"):
        await requests.ask(server, wanted(), actor="test")
    named = await requests.ask(server, replace(wanted(), topic=second), actor="test")
    assert named.topic == second
