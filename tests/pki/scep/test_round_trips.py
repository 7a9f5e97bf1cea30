"""Our client and our server, end to end in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from bramley.errors import BadInput
from bramley.pki import certificates, cms, csr, keys, names, oids
from bramley.pki.ca import authority, profiles
from bramley.pki.ca.authority import Authority
from bramley.pki.cms import der
from bramley.pki.scep import attributes, enrollment, server
from bramley.pki.scep.client import SCEPClient
from bramley.pki.scep.errors import BadReply, Pending, Refused, SCEPError, WrongCertificate
from bramley.pki.scep.messages import FailInfo, MessageType, PKIStatus, Request
from bramley.pki.scep.server import Responder

from .kit import Service

DIGESTS = ["sha1", "sha256", "sha384", "sha512"]
CIPHERS = ["aes-128-cbc", "aes-192-cbc", "aes-256-cbc", "des-ede3-cbc"]


class WebPage:
    """A captive portal: whatever is asked, a page comes."""

    async def get(self, query: str) -> tuple[str, bytes]:
        return "text/html", b"<html>please log in</html>"

    async def post(self, query: str, body: bytes) -> tuple[str, bytes]:
        return await self.get(query)


@pytest.mark.parametrize("use_post", [True, False], ids=["POST", "GET"])
@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize("digest", DIGESTS)
async def test_enrolls(
    service: Service,
    device_key: rsa.RSAPrivateKey,
    device_csr: bytes,
    now: datetime,
    digest: str,
    cipher: str,
    use_post: bool,
) -> None:
    ca = service.authority.certificate
    (issued,) = await SCEPClient(service).enroll(
        device_key, device_csr, ca=ca, now=now, message_digest=digest, cipher=cipher, use_post=use_post
    )
    issued.verify_directly_issued_by(ca)
    assert certificates.matches(issued, device_key.public_key())
    (request,) = service.seen
    assert (request.digest, request.cipher, request.challenge) == (digest, cipher, "open sesame")
    assert request.message_type is MessageType.PKCSReq
    assert service.methods == ["POST" if use_post else "GET"]


async def test_asks_for_capabilities_when_not_told_how_to_send(
    service: Service, device_key: rsa.RSAPrivateKey, device_csr: bytes, now: datetime
) -> None:
    await SCEPClient(service).enroll(device_key, device_csr, ca=service.authority.certificate, now=now)
    assert service.methods == ["GET", "POST"]


async def test_advertises_what_every_client_needs(service: Service) -> None:
    expected = {"AES", "SHA-256", "SHA-384", "SHA-512", "SHA-1", "DES3", "POSTPKIOperation", "SCEPStandard", "Renewal"}
    assert await SCEPClient(service).capabilities() == expected
    assert len(server.capabilities().splitlines()) == len(expected)


async def test_one_ca_certificate_is_sent_by_itself(service: Service, identity_ca: Authority) -> None:
    above = [identity_ca.certificate, identity_ca.certificate]
    assert server.ca_certificates(above) == ("application/x-x509-ca-cert", certificates.der(identity_ca.certificate))
    assert await SCEPClient(service).ca_certificates() == (identity_ca.certificate,)


async def test_renews_with_a_new_key_by_the_old_identity(
    service: Service, device_key: rsa.RSAPrivateKey, device_csr: bytes, other_key: rsa.RSAPrivateKey, now: datetime
) -> None:
    ca, client = service.authority.certificate, SCEPClient(service)
    (old,) = await client.enroll(device_key, device_csr, ca=ca, now=now)
    request = csr.build(other_key, names.make("device 1"))
    (new,) = await client.enroll(other_key, request, ca=ca, signer=(old, device_key), renewal=True, now=now)
    assert certificates.matches(new, other_key.public_key())
    assert service.seen[-1].message_type is MessageType.RenewalReq
    assert service.seen[-1].signer_certificate == old
    assert service.seen[-1].challenge is None


async def test_an_ec_key_is_certified_with_the_help_of_an_rsa_signer(
    service: Service, device_key: rsa.RSAPrivateKey, signer: enrollment.Signer, now: datetime
) -> None:
    key = keys.generate(keys.KeyAlgorithm.P_256)
    (issued,) = await SCEPClient(service).enroll(
        key,
        csr.build(key, names.make("curved")),
        ca=service.authority.certificate,
        signer=(signer.certificate, device_key),
        now=now,
    )
    assert certificates.matches(issued, key.public_key())
    assert service.seen[0].transaction_id == keys.spki_sha256(key.public_key()).upper()


async def test_an_ra_stands_in_front_of_an_ec_ca(
    device_key: rsa.RSAPrivateKey, device_csr: bytes, other_key: rsa.RSAPrivateKey, now: datetime
) -> None:
    ca_key = keys.generate(keys.KeyAlgorithm.P_256)
    ca = Authority(authority.self_signed(profiles.IDENTITY_CA, ca_key, names.make("EC CA"), now=now), ca_key)
    ra = authority.issue(ca, profiles.DEVICE_IDENTITY, other_key.public_key(), subject=names.make("RA"), now=now)
    service = Service(ca, Responder(ra, other_key), now, registration_authority=ra)
    client = SCEPClient(service)
    assert await client.ca_certificates() == (ra, ca.certificate)
    (issued,) = await client.enroll(device_key, device_csr, ca=ca.certificate, ra=ra, now=now)
    issued.verify_directly_issued_by(ca.certificate)


async def test_the_ca_refuses_and_says_why(
    service: Service, device_key: rsa.RSAPrivateKey, device_csr: bytes, now: datetime
) -> None:
    service.answer = lambda request: server.failure(
        request, service.responder, FailInfo.badRequest, now=now, text="challenge is spent"
    )
    with pytest.raises(Refused, match=r"badRequest: 'challenge is spent'") as caught:
        await SCEPClient(service).enroll(device_key, device_csr, ca=service.authority.certificate, now=now)
    assert (caught.value.fail_info, caught.value.text) == (FailInfo.badRequest, "challenge is spent")


def answer(request: Request, responder: Responder, *said: tuple[str, bytes], content: bytes | None = None) -> bytes:
    """A CertRep by the CA with other attributes (the last word counts), without any content by default."""
    usual = attributes.encode(
        transaction_id=request.transaction_id,
        message_type=MessageType.CertRep,
        status=PKIStatus.SUCCESS,
        sender_nonce=attributes.new_nonce(),
        recipient_nonce=request.sender_nonce,
    )
    return cms.sign(
        content or b"",
        key=responder.key,
        certificate=responder.certificate,
        detached=content is None,
        attributes=list(dict([*usual, *said]).items()),
    )


@pytest.mark.parametrize(
    ("said", "error", "complaint"),
    [
        ([(oids.SCEP_PKI_STATUS, b"3")], Pending, "pending"),
        ([(oids.SCEP_PKI_STATUS, b"2")], Refused, "no reason"),
        ([(oids.SCEP_PKI_STATUS, b"2"), (oids.SCEP_FAIL_INFO, b"4")], Refused, "badCertId"),
        ([(oids.SCEP_PKI_STATUS, b"2"), (oids.SCEP_FAIL_INFO, b"99")], Refused, "no reason"),
        ([(oids.SCEP_PKI_STATUS, b"1")], BadReply, "pkiStatus"),
        ([(oids.SCEP_MESSAGE_TYPE, b"19")], BadReply, "CertRep"),
        ([(oids.SCEP_RECIPIENT_NONCE, b"a string")], BadReply, "one proper value"),
        ([], BadReply, "certificates encrypted to us"),
    ],
)
async def test_other_cas_say_less_or_odd_things(
    service: Service,
    device_key: rsa.RSAPrivateKey,
    device_csr: bytes,
    now: datetime,
    said: list[tuple[str, bytes]],
    error: type[SCEPError],
    complaint: str,
) -> None:
    values = [(oid, der.element(0x13, text)) for oid, text in said]
    service.answer = lambda request: answer(request, service.responder, *values)
    with pytest.raises(error, match=complaint):
        await SCEPClient(service).enroll(device_key, device_csr, ca=service.authority.certificate, now=now)


async def test_our_own_request_reflected_is_no_answer(
    service: Service, device_key: rsa.RSAPrivateKey, device_csr: bytes, now: datetime
) -> None:
    class Mirror(WebPage):
        async def post(self, query: str, body: bytes) -> tuple[str, bytes]:
            return "application/x-pki-message", body

    with pytest.raises(BadReply, match="another signed it"):
        await SCEPClient(Mirror()).enroll(device_key, device_csr, ca=service.authority.certificate, now=now, use_post=True)


@pytest.mark.parametrize("body", [b"", b"junk", b"\x30\x00"])
@pytest.mark.parametrize("content_type", ["application/x-x509-ca-cert", "application/x-x509-ca-ra-cert"])
async def test_ca_certificates_that_are_none(content_type: str, body: bytes) -> None:
    class Junk(WebPage):
        async def get(self, query: str) -> tuple[str, bytes]:
            return content_type, body

    with pytest.raises(BadReply, match="the CA's certificates"):
        await SCEPClient(Junk()).ca_certificates()


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"transaction_id": "ANOTHER"}, "transactionID or recipientNonce"),
        ({"sender_nonce": bytes(16)}, "transactionID or recipientNonce"),
        ({"sender_nonce": None}, "transactionID or recipientNonce"),
    ],
)
async def test_an_answer_to_another_request_is_not_ours(
    service: Service,
    device_key: rsa.RSAPrivateKey,
    device_csr: bytes,
    now: datetime,
    changed: dict[str, Any],
    complaint: str,
) -> None:
    service.answer = lambda request: server.success(
        dataclasses.replace(request, **changed), service.responder, service.issue(request), now=now
    )
    with pytest.raises(BadReply, match=complaint):
        await SCEPClient(service).enroll(device_key, device_csr, ca=service.authority.certificate, now=now)


async def test_an_answer_by_a_look_alike_ca_is_refused(
    service: Service, device_key: rsa.RSAPrivateKey, device_csr: bytes, other_key: rsa.RSAPrivateKey, now: datetime
) -> None:
    ca = service.authority.certificate
    impostor = authority.self_signed(profiles.IDENTITY_CA, other_key, ca.subject, now=now)
    service.answer = lambda request: server.success(request, Responder(impostor, other_key), service.issue(request), now=now)
    with pytest.raises(BadReply, match="another signed it"):
        await SCEPClient(service).enroll(device_key, device_csr, ca=ca, now=now)


async def test_a_certificate_of_another_ca_is_refused(
    service: Service, device_key: rsa.RSAPrivateKey, device_csr: bytes, other_key: rsa.RSAPrivateKey, now: datetime
) -> None:
    ca = service.authority.certificate
    impostor = Authority(authority.self_signed(profiles.IDENTITY_CA, other_key, ca.subject, now=now), other_key)
    service.answer = lambda request: server.success(
        request, service.responder, dataclasses.replace(service, authority=impostor).issue(request), now=now
    )
    with pytest.raises(BadReply, match="that the CA issued"):
        await SCEPClient(service).enroll(device_key, device_csr, ca=ca, now=now)


async def test_a_certificate_for_another_key_is_refused_by_both_ends(
    service: Service, device_key: rsa.RSAPrivateKey, device_csr: bytes, other_key: rsa.RSAPrivateKey, now: datetime
) -> None:
    other = csr.load(csr.build(other_key, names.make("device 2")))
    client = SCEPClient(service)

    def for_another(request: Request) -> bytes:
        swapped = dataclasses.replace(request, csr=other)
        return server.success(swapped, service.responder, service.issue(swapped), now=now)

    service.answer = for_another
    with pytest.raises(BadReply, match="one certificate for our key among 1; found 0"):
        await client.enroll(device_key, device_csr, ca=service.authority.certificate, now=now)

    def not_as_requested(request: Request) -> bytes:
        issued = service.issue(dataclasses.replace(request, csr=other))
        return server.success(request, service.responder, issued, now=now)

    service.answer = not_as_requested
    with pytest.raises(WrongCertificate):
        await client.enroll(device_key, device_csr, ca=service.authority.certificate, now=now)


async def test_a_weaker_digest_than_ours_is_refused(
    service: Service, device_key: rsa.RSAPrivateKey, device_csr: bytes, now: datetime
) -> None:
    service.answer = lambda request: server.success(
        dataclasses.replace(request, digest="sha1"), service.responder, service.issue(request), now=now
    )
    client, ca = SCEPClient(service), service.authority.certificate
    with pytest.raises(BadReply, match="found sha1"):
        await client.enroll(device_key, device_csr, ca=ca, now=now)

    assert await client.enroll(device_key, device_csr, ca=ca, now=now, allow_legacy=True)


async def test_an_answer_in_single_des_needs_leave(
    service: Service, device_key: rsa.RSAPrivateKey, device_csr: bytes, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def single_des(content: bytes, *, recipients: Sequence[x509.Certificate], cipher: str) -> bytes:
        return encrypt(content, recipients=recipients, cipher="des-cbc", allow_single_des=True)

    encrypt, ca = cms.encrypt, service.authority.certificate
    who = enrollment.temporary_signer(device_key, names.make("device 1"), now=now)
    sent = enrollment.request(device_csr, signer=who, ca=ca, now=now)
    with monkeypatch.context() as patched:
        patched.setattr(cms, "encrypt", single_des)
        answer = service.pki_operation(sent.message)

    with pytest.raises(BadReply, match="des-cbc"):
        enrollment.accept(answer, sent, now=now)
    assert enrollment.accept(answer, sent, now=now, allow_legacy=True)


async def test_a_web_page_is_no_answer(
    device_key: rsa.RSAPrivateKey, device_csr: bytes, responder: Responder, now: datetime
) -> None:
    client = SCEPClient(WebPage())
    with pytest.raises(BadReply, match="text/html"):
        await client.ca_certificates()
    with pytest.raises(BadReply, match="text/html"):
        await client.enroll(device_key, device_csr, ca=responder.certificate, now=now)


async def test_arguments_have_to_go_together(
    service: Service, device_key: rsa.RSAPrivateKey, device_csr: bytes, other_key: rsa.RSAPrivateKey, now: datetime
) -> None:
    client, ca = SCEPClient(service), service.authority.certificate
    with pytest.raises(BadInput, match="another key"):
        await client.enroll(other_key, device_csr, ca=ca, now=now)
    with pytest.raises(BadInput, match="identity to be renewed"):
        await client.enroll(device_key, device_csr, ca=ca, renewal=True, now=now)
    curved = keys.generate(keys.KeyAlgorithm.P_256)
    with pytest.raises(BadInput, match="RSA key"):
        await client.enroll(curved, csr.build(curved, names.make("curved")), ca=ca, now=now)
    with pytest.raises(BadInput, match="RSA key"):
        await client.enroll(device_key, device_csr, ca=ca, signer=(ca, curved), now=now)
    assert service.methods == []
