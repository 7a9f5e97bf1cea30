"""A device's side of SCEP in process, and devices on record."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from cryptography import x509

from bramley.model.enrollments import EnrollmentID, EnrollmentKey, EnrollmentState, Purpose
from bramley.operations import enrolling, records, scep
from bramley.operations.enrollment_profiles import NewChallenge, new_challenge
from bramley.operations.live import Live
from bramley.pki import certificates, csr, keys, names
from bramley.pki.scep import server
from bramley.pki.scep.client import SCEPClient
from bramley.storage.protocols import Tx


@dataclass(frozen=True, slots=True)
class InProcess:
    """A SCEP transport that ends in the operation itself."""

    live: Live

    async def get(self, query: str) -> tuple[str, bytes]:
        if query == "operation=GetCACaps":
            return "text/plain", server.capabilities()
        assert query == "operation=GetCACert"
        return server.ca_certificates((self.live.current().responder.certificate,))

    async def post(self, query: str, body: bytes) -> tuple[str, bytes]:
        assert query == "operation=PKIOperation"
        return "application/x-pki-message", (await scep.respond(self.live, body)).message


async def ask(
    live: Live,
    key: keys.PrivateKey,
    challenge: str | None,
    *,
    signer: tuple[x509.Certificate, keys.PrivateKey] | None = None,
    renewal: bool = False,
) -> x509.Certificate:
    """What a device gets for this challenge; raises the SCEP refusal."""
    client = SCEPClient(InProcess(live))
    (ca,) = await client.ca_certificates()
    request = csr.build(key, names.make("as the device likes"), challenge_password=challenge)
    now = live.installation.clock.now()
    return (await client.enroll(key, request, ca=ca, signer=signer, renewal=renewal, now=now))[0]


async def challenge_for(
    live: Live, *, uses: int = 1, life: timedelta = timedelta(days=1), purpose: Purpose = Purpose.ENROLL
) -> NewChallenge:
    """A challenge of a new enrollment that came by a link, as fetching its profile makes it."""
    created = await enrolling.create_link(live.installation, label="", uses=uses, expires_in=timedelta(days=7), actor="test")
    return await challenge_of_link(live, created.url, life=life, purpose=purpose)


async def challenge_of_link(
    live: Live, url: str, *, life: timedelta = timedelta(days=1), purpose: Purpose = Purpose.ENROLL
) -> NewChallenge:
    """Fetches the profile of a link, then adds a challenge of our own to the enrollment that this began."""
    before = await live.installation.store.read(_keys)
    await enrolling.profile_for_link(live, url.rsplit("/", 1)[1])
    (key,) = await live.installation.store.read(_keys) - before
    issued = new_challenge(key, purpose, live.installation.clock.now(), life)
    await live.installation.store.run(lambda tx: tx.challenges.add(issued.challenge))
    return issued


def _keys(tx: Tx) -> set[EnrollmentKey]:
    return {enrollment.key for enrollment in tx.enrollments.find()}


async def enrolled(live: Live, key: keys.PrivateKey, udid: str) -> EnrollmentKey:
    """A device that has come in and is active, with an identity in force and a push token."""
    issued = await challenge_for(live)
    certificate = await ask(live, key, issued.secret)
    now, enrollment_key = live.installation.clock.now(), issued.challenge.enrollment_key

    def activate(tx: Tx) -> None:
        enrollment = tx.enrollments.get(enrollment_key)
        version = tx.lineages.by_sha256(certificates.sha256(certificate))
        assert enrollment is not None
        assert version is not None
        tx.enrollments.update(
            replace(
                enrollment,
                id=EnrollmentID(udid),
                udid=udid,
                state=EnrollmentState.ACTIVE,
                push_token=udid.encode(),
                push_magic="magic",
                token_updated_at=now,
            )
        )
        records.promote(tx, version, now=now, actor="test", enrollment=enrollment_key)

    await live.installation.store.run(activate)
    return enrollment_key
