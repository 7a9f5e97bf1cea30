"""A SCEP service in memory, and a builder of messages that no honest client sends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from asn1crypto import cms as asn1_cms
from asn1crypto import core
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bramley.pki import certificates, cms, oids
from bramley.pki.ca import authority, profiles
from bramley.pki.ca.authority import Authority
from bramley.pki.cms import der
from bramley.pki.scep import attributes, server
from bramley.pki.scep.enrollment import Signer
from bramley.pki.scep.messages import PKI_MESSAGE_TYPE, Request
from bramley.pki.scep.server import Responder

Attributes = Sequence[tuple[str, bytes]]


def pem_key(signer: Signer) -> bytes:
    """The signer's private key for the `openssl` command."""
    return signer.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@dataclass
class Service:
    """A SCEP server without HTTP: issues to whoever asks properly, or answers by `answer` if that is set."""

    authority: Authority
    responder: Responder
    now: datetime
    registration_authority: x509.Certificate | None = None
    answer: Callable[[Request], bytes] | None = None
    seen: list[Request] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)

    async def get(self, query: str) -> tuple[str, bytes]:
        self.methods.append("GET")
        operation, _, message = query.removeprefix("operation=").partition("&message=")
        if operation == "GetCACaps":
            return "text/plain; charset=utf-8", server.capabilities()
        if operation == "GetCACert":
            return server.ca_certificates([self.authority.certificate], registration_authority=self.registration_authority)
        return PKI_MESSAGE_TYPE, self.pki_operation(server.decode_get_message(message.encode("ascii")))

    async def post(self, query: str, body: bytes) -> tuple[str, bytes]:
        self.methods.append("POST")
        assert query == "operation=PKIOperation"
        return PKI_MESSAGE_TYPE, self.pki_operation(body)

    def pki_operation(self, message: bytes) -> bytes:
        request = server.open_request(message, self.responder, now=self.now)
        self.seen.append(request)
        if self.answer is not None:
            return self.answer(request)
        return server.success(request, self.responder, self.issue(request), now=self.now)

    def issue(self, request: Request) -> x509.Certificate:
        return authority.issue(
            self.authority, profiles.DEVICE_IDENTITY, request.csr.public_key, subject=request.csr.subject, now=self.now
        )


@dataclass
class Messages:
    """Makes pkiMessages piece by piece, so that a test can spoil one of the pieces."""

    responder: Responder
    signer: Signer
    csr: bytes
    now: datetime

    def attributes(self, message_type: bytes | None = b"19", **changed: bytes | None) -> list[tuple[str, bytes]]:
        """The attributes of a PKCSReq, with values replaced or (None) left out; keys are names in `oids`."""
        usual: dict[str, bytes | None] = {
            "SCEP_MESSAGE_TYPE": None if message_type is None else der.element(0x13, message_type),
            "SCEP_TRANSACTION_ID": attributes.printable("TRANSACTION-1"),
            "SCEP_SENDER_NONCE": der.octet_string(bytes(range(16))),
        }
        return [(getattr(oids, name), value) for name, value in (usual | changed).items() if value is not None]

    def envelope(self, content: bytes | None = None, cipher: str = "aes-256-cbc") -> bytes:
        return cms.encrypt(
            self.csr if content is None else content,
            recipients=[self.responder.certificate],
            cipher=cipher,
            allow_single_des=True,
        )

    def sign(self, envelope: bytes | None = None, attributes: Attributes | None = None, digest: str = "sha256") -> bytes:
        return cms.sign(
            self.envelope() if envelope is None else envelope,
            key=self.signer.key,
            certificate=self.signer.certificate,
            digest=digest,
            allow_sha1=True,
            signing_time=self.now,
            attributes=self.attributes() if attributes is None else attributes,
        )


class IssuerAndSubject(core.Sequence):  # type: ignore[misc]  # asn1crypto has no types
    """RFC 8894 section 3.3.3."""

    _fields = [("issuer", asn1_x509.Name), ("subject", asn1_x509.Name)]  # noqa: RUF012 - asn1crypto's way


def issuer_and_serial(certificate: x509.Certificate) -> bytes:
    """What a GetCert or GetCRL holds, as asn1crypto writes it."""
    read = asn1_x509.Certificate.load(certificates.der(certificate))
    pair = asn1_cms.IssuerAndSerialNumber({"issuer": read.issuer, "serial_number": read.serial_number})
    dumped: bytes = pair.dump()
    return dumped


def issuer_and_subject(issuer: x509.Certificate, subject: x509.Certificate) -> bytes:
    """What a CertPoll holds, as asn1crypto writes it."""
    pair = [asn1_x509.Certificate.load(certificates.der(each)).subject for each in (issuer, subject)]
    dumped: bytes = IssuerAndSubject({"issuer": pair[0], "subject": pair[1]}).dump()
    return dumped
