"""An outside CA asked in the devices' place: what is taken from it, what is not, and what a device may then do again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from bramley.apple.errors import ServiceTrouble
from bramley.apple.http import HTTP, Answer
from bramley.model.enrollments import IdentityRoute
from bramley.model.events import EventKind
from bramley.model.kinds import Kind
from bramley.model.lineages import VersionState
from bramley.operations import outside_scep, records, scep, scep_ra, trusted_cas
from bramley.operations.enrollment_profiles import NewChallenge
from bramley.operations.live import Live
from bramley.pki import certificates, csr, keys, names
from bramley.pki.ca import profiles
from bramley.pki.ca.authority import Authority, issue, self_signed
from bramley.pki.scep import enrollment, server
from bramley.pki.scep.messages import FailInfo, Request
from bramley.pki.scep.server import Responder
from bramley.storage.protocols import Tx
from tests.conftest import NOW

from .conftest import challenge_for
from .scep_kit import Client, with_scep

Keys = list[keys.PrivateKey]
HALF_AN_HOUR = timedelta(minutes=30)


@dataclass(slots=True)
class Corporation:
    """The outside CA, which answers SCEP itself; `answer` is what it makes of a request, and `asked` how many it had."""

    authority: Authority
    answer: Callable[[Corporation, Request], x509.Certificate | bytes]
    shown: x509.Certificate
    status: int = 200
    asked: int = 0

    @property
    def responder(self) -> Responder:
        assert isinstance(self.authority.key, rsa.RSAPrivateKey)
        return Responder(self.authority.certificate, self.authority.key)

    async def exchange(
        self, http: HTTP, method: str, url: str, *, headers: dict[str, str], limit: int, content: bytes | None = None
    ) -> Answer:
        """In the place of HTTP."""
        await asyncio.sleep(0)
        assert url.startswith("https://ca.example/scep?operation=")
        if url.endswith("GetCACert"):
            kind, body = server.ca_certificates([self.shown])
            return Answer(200, body, content_type=kind)
        if url.endswith("GetCACaps"):
            return Answer(200, server.capabilities(), content_type="text/plain")
        assert content is not None
        self.asked += 1
        request = server.open_request(content, self.responder, now=NOW)
        made = self.answer(self, request)
        reply = made if isinstance(made, bytes) else server.success(request, self.responder, made, now=NOW)
        return Answer(self.status, reply, content_type=server.PKI_MESSAGE_TYPE)

    def issue(
        self,
        key: keys.PublicKey,
        profile: profiles.CertificateProfile = profiles.DEVICE_IDENTITY,
        now: datetime = NOW,
        lifetime: timedelta | None = None,
    ) -> x509.Certificate:
        sans = (x509.DNSName("a.example"),) if profile is profiles.HTTPS_SERVER else ()
        return issue(self.authority, profile, key, subject=names.make("device"), sans=sans, now=now, lifetime=lifetime)


def as_asked(ca: Corporation, request: Request) -> x509.Certificate:
    return ca.issue(request.csr.public_key)


def silence(ca: Corporation, request: Request) -> bytes:
    raise ServiceTrouble("ca.example did not answer within 20 seconds.")


@pytest.fixture(scope="session")
def corporate_key() -> keys.PrivateKey:
    return keys.generate(keys.KeyAlgorithm.RSA_2048)


def made(key: keys.PrivateKey) -> Authority:
    return Authority(self_signed(profiles.IDENTITY_CA, key, names.make("Corporate CA"), now=NOW), key)


@pytest.fixture
def ca(corporate_key: keys.PrivateKey, monkeypatch: pytest.MonkeyPatch) -> Corporation:
    authority = made(corporate_key)
    corporation = Corporation(authority, as_asked, authority.certificate)
    monkeypatch.setattr(outside_scep, "exchange", corporation.exchange)
    return corporation


@pytest.fixture
async def proxy(live: Live, ca: Corporation) -> Live:
    """A server in front of it."""
    await trusted_cas.trust(live.installation, ca.authority.certificate, actor="test")
    behind = await with_scep(live, outside_url="https://ca.example/scep")
    held, here = behind.current().authorities, behind.installation
    await here.store.run(lambda tx: scep_ra.ensure(tx, here, held, now=NOW))
    await behind.refresh()
    return behind


def device(live: Live, ca: Corporation, key: keys.PrivateKey, challenge: str | None) -> Client:
    """One that knows what GetCACert has told it."""
    assert isinstance(key, rsa.RSAPrivateKey)
    signer = enrollment.temporary_signer(key, names.make("device"), now=NOW)
    request = csr.build(key, names.make("device"), challenge_password=challenge)
    there, responder = ca.authority.certificate, live.current().responder.certificate
    return Client(live, enrollment.request(request, signer=signer, ca=there, ra=responder, now=NOW))


async def right(live: Live, issued: NewChallenge) -> bool:
    """Whether it is there still."""
    kept = await live.installation.store.read(lambda tx: tx.challenges.by_hash(issued.challenge.secret_sha256))
    assert kept is not None
    return kept.spent_at is None


async def identities(live: Live) -> list[tuple[str, VersionState, x509.Certificate]]:
    def read(tx: Tx) -> list[tuple[str, VersionState, x509.Certificate]]:
        found = [row.version for row in tx.lineages.certificates(kind=Kind.DEVICE_IDENTITY, limit=10)]
        return [(records.route_of(tx, v), v.state, certificates.load(v.certificate)) for v in found if v.certificate]

    return await live.installation.store.read(read)


async def test_what_it_issues_is_on_record_and_bound(proxy: Live, ca: Corporation, device_keys: Keys) -> None:
    issued = await challenge_for(proxy)
    client = device(proxy, ca, device_keys[0], issued.secret)
    got = await client.send()
    assert await identities(proxy) == [(IdentityRoute.OUTSIDE_SCEP, VersionState.ISSUED, got)]
    assert isinstance(got, x509.Certificate)
    binding = await proxy.installation.store.read(lambda tx: tx.enrollments.binding(certificates.sha256(got)))
    assert binding is not None
    assert binding.enrollment_key == issued.challenge.enrollment_key
    # the same message again has the same answer, and asks nobody
    assert (await client.send(), ca.asked) == (got, 1)
    assert await device(proxy, ca, device_keys[1], issued.secret).send() == "badRequest: challenge-spent"
    assert ca.asked == 1


async def test_the_same_message_twice_at_once_is_one_identity(proxy: Live, ca: Corporation, device_keys: Keys) -> None:
    client = device(proxy, ca, device_keys[0], (await challenge_for(proxy)).secret)
    first, second = await asyncio.gather(client.send(), client.send())
    assert first == second
    assert [certificate for _route, _state, certificate in await identities(proxy)] == [first]


async def test_without_a_right_nobody_is_asked(proxy: Live, ca: Corporation, device_keys: Keys) -> None:
    assert await device(proxy, ca, device_keys[0], "guessed").send() == "badRequest: challenge-unknown"
    assert ca.asked == 0


async def test_the_right_may_come_in_the_url_and_the_ca_s_own_challenge_in_the_request(
    proxy: Live, ca: Corporation, device_keys: Keys
) -> None:
    heard: list[str | None] = []

    def answer(ca: Corporation, request: Request) -> x509.Certificate:
        heard.append(request.challenge)
        return as_asked(ca, request)

    ca.answer = answer
    issued = await challenge_for(proxy)
    client = device(proxy, ca, device_keys[0], "open sesame")
    assert await client.send() == "badRequest: challenge-unknown"
    assert (await scep.respond(proxy, client.sent.message, secret=issued.secret)).refused is None
    assert (heard, await right(proxy, issued)) == (["open sesame"], False)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (silence, "did not answer"),
        (lambda ca, asked: server.failure(asked, ca.responder, FailInfo.badRequest, now=NOW, text="no"), "badRequest"),
        (lambda ca, asked: server.pending(asked, ca.responder, now=NOW), "pending"),
        (lambda ca, asked: b"\x30\x03nothing", "CertRep"),
        (lambda ca, asked: for_another_key(ca, asked), "our key"),
        (lambda ca, asked: ca.issue(asked.csr.public_key, profiles.HTTPS_SERVER), "extended key usage"),
        (lambda ca, asked: ca.issue(asked.csr.public_key, now=NOW - HALF_AN_HOUR, lifetime=HALF_AN_HOUR / 3), "expired at"),
        (lambda ca, asked: by_another_ca(asked), "did not sign it"),
    ],
    ids=["silent", "refused", "pending", "garbage", "another key", "for servers", "ended", "by another CA"],
)
async def test_what_is_not_taken_costs_the_device_nothing(
    proxy: Live,
    ca: Corporation,
    device_keys: Keys,
    answer: Callable[[Corporation, Request], x509.Certificate | bytes],
    why: str,
) -> None:
    issued = await challenge_for(proxy)
    client, ca.answer = device(proxy, ca, device_keys[0], issued.secret), answer
    assert await client.send() == "badRequest: outside-ca"
    assert (await identities(proxy), await right(proxy, issued)) == ([], True)
    (event,) = await proxy.installation.store.read(lambda tx: tx.events.find(kind=EventKind.SCEP_REFUSED))
    assert why in str(event.detail["message"])
    assert issued.secret not in repr(event)
    ca.answer = as_asked
    assert isinstance(await client.send(), x509.Certificate)


def for_another_key(ca: Corporation, asked: Request) -> bytes:
    """The CA's own, for want of one at hand."""
    another = csr.load(csr.build(ca.authority.key, names.make("device")))
    return server.success(replace(asked, csr=another), ca.responder, ca.issue(another.public_key), now=NOW)


def by_another_ca(asked: Request) -> x509.Certificate:
    """Of the same name, with another key."""
    other = made(keys.generate(keys.KeyAlgorithm.P_256))
    return issue(other, profiles.DEVICE_IDENTITY, asked.csr.public_key, subject=names.make("device"), now=NOW)


async def test_it_has_to_be_there_and_the_one_that_is_trusted(proxy: Live, ca: Corporation, device_keys: Keys) -> None:
    issued = await challenge_for(proxy)
    client = device(proxy, ca, device_keys[0], issued.secret)
    ca.status = 503
    assert await client.send() == "badRequest: outside-ca"
    ca.status, ca.shown = 200, made(device_keys[1]).certificate
    assert await client.send() == "badRequest: outside-ca"
    ca.shown = ca.authority.certificate
    await trusted_cas.distrust(proxy.installation, certificates.sha256(ca.shown), actor="test")
    await proxy.refresh()
    assert await client.send() == "badRequest: outside-ca"
    assert (ca.asked, await right(proxy, issued)) == (1, True)


async def test_a_certificate_is_issued_to_one_device(proxy: Live, ca: Corporation, device_keys: Keys) -> None:
    kept = ca.issue(device_keys[0].public_key())
    ca.answer = lambda _ca, _asked: kept
    first, second = [await challenge_for(proxy) for _ in range(2)]
    assert await device(proxy, ca, device_keys[0], first.secret).send() == kept
    assert await device(proxy, ca, device_keys[0], second.secret).send() == "badRequest: certificate-known"
    assert await right(proxy, second)


async def test_of_two_rights_the_one_in_the_url_is_spent(proxy: Live, ca: Corporation, device_keys: Keys) -> None:
    issued, other = [await challenge_for(proxy) for _ in range(2)]
    client = device(proxy, ca, device_keys[0], other.secret)
    assert (await scep.respond(proxy, client.sent.message, secret=issued.secret)).refused is None
    assert [await right(proxy, each) for each in (issued, other)] == [False, True]
