"""A SCEP client that sends one request as often as it likes, and asks about it in every way there is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from bramley.model.kinds import Kind
from bramley.model.lineages import Policy, VersionState
from bramley.operations import authorities, records, scep, vault
from bramley.operations.installation import Installation
from bramley.operations.live import Live
from bramley.pki import cms, csr, keys, names
from bramley.pki.ca import profiles
from bramley.pki.ca.authority import issue
from bramley.pki.scep import attributes, enrollment
from bramley.pki.scep.enrollment import Enrollment, Signer
from bramley.pki.scep.errors import Pending, Refused
from bramley.pki.scep.messages import MessageType
from bramley.storage.protocols import Tx
from tests.pki.scep.kit import issuer_and_serial, issuer_and_subject


async def with_scep(live: Live, **changed: Any) -> Live:
    """The same installation under other settings of SCEP, as after a restart."""
    installation = live.installation
    settings = replace(installation.settings, scep=replace(installation.settings.scep, **changed))
    return await Live.start(replace(installation, settings=settings))


async def give_elliptic_ca(installation: Installation) -> None:
    """Puts an identity CA with a key on P-256 in the place of the one there is."""
    now, sealer = installation.clock.now(), installation.sealer
    key = keys.generate(keys.KeyAlgorithm.P_256)

    def change(tx: Tx) -> None:
        root = authorities.load(tx, sealer).root
        subject = names.make("Elliptic Identity CA")
        certificate = issue(root.authority(), profiles.IDENTITY_CA, key.public_key(), subject=subject, now=now)
        lineage = records.lineage(tx, Kind.IDENTITY_CA, authorities.NAME, Policy(), now=now)
        key_id = vault.keep(tx, sealer, key, Kind.IDENTITY_CA, now=now, actor="test")
        version = records.record(
            tx, lineage, certificate, state=VersionState.ISSUED, now=now, actor="test", key_id=key_id, issuer=root.version
        )
        records.promote(tx, version, now=now, actor="test")
        records.touch(tx)

    await installation.store.run(change)


@dataclass(frozen=True, slots=True)
class Client:
    """One request, made once."""

    live: Live
    sent: Enrollment

    @classmethod
    def make(cls, live: Live, key: keys.PrivateKey, challenge: str | None, signer: Signer | None = None) -> Client:
        assert isinstance(key, rsa.RSAPrivateKey)
        now = live.installation.clock.now()
        snapshot = live.current()
        ca, responder = snapshot.authorities.identity.authority.certificate, snapshot.responder.certificate
        who = signer or enrollment.temporary_signer(key, names.make("router"), now=now)
        request = csr.build(key, names.make("router"), challenge_password=challenge)
        return cls(live, enrollment.request(request, signer=who, ca=ca, ra=responder, now=now))

    async def send(self) -> x509.Certificate | str:
        """The certificate, `pending`, or why not."""
        return await self._answer(self.sent)

    async def poll(self, signer: Signer | None = None, transaction_id: str | None = None) -> x509.Certificate | str:
        """Likewise, by a CertPoll."""
        names_asked = issuer_and_subject(self.sent.ca, self.sent.signer.certificate)
        return await self._answer(self._question(MessageType.CertPoll, names_asked, signer, transaction_id))

    async def get_certificate(self, named: x509.Certificate, signer: Signer | None = None) -> x509.Certificate | str:
        """Likewise, by a GetCert; for the key of the one asked for."""
        question = self._question(MessageType.GetCert, issuer_and_serial(named), signer)
        public_key = named.public_key()
        assert isinstance(public_key, keys.PublicKey)
        return await self._answer(replace(question, public_key=public_key))

    async def get_crl(self, named: x509.Certificate, signer: Signer | None = None) -> bytes | str:
        """What is inside an answer to GetCRL (a SignedData without signers), or why there is none."""
        question = self._question(MessageType.GetCRL, issuer_and_serial(named), signer)
        reply = await scep.respond(self.live, question.message)
        if reply.refused is not None:
            return reply.refused
        signed, who = cms.verify(cms.parse_signed_data(reply.message), policy=cms.STRICT), question.signer
        return cms.decrypt(signed.content, key=who.key, certificate=who.certificate).content

    def _question(self, kind: MessageType, content: bytes, signer: Signer | None, transaction: str | None = None) -> Enrollment:
        who, nonce, name = signer or self.sent.signer, attributes.new_nonce(), transaction or self.sent.transaction_id
        said = attributes.encode(transaction_id=name, message_type=kind, sender_nonce=nonce)
        envelope = cms.encrypt(content, recipients=[self.sent.recipient])
        message = cms.sign(envelope, key=who.key, certificate=who.certificate, attributes=said)
        return replace(self.sent, message=message, sender_nonce=nonce, signer=who, transaction_id=name)

    async def _answer(self, sent: Enrollment) -> x509.Certificate | str:
        reply = await scep.respond(self.live, sent.message)
        try:
            return enrollment.accept(reply.message, sent, now=self.live.installation.clock.now())[0]
        except Pending:
            assert reply.refused is None
            return "pending"
        except Refused as refused:
            told = refused.fail_info.name if refused.fail_info is not None else "nothing"
            return f"{told}: {reply.refused}"
