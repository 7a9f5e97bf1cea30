"""Makes the corpus anew, from our own writers: `python -m tests.fuzz.corpus`. Never from recordings.

Nonces and signatures are random, so each run gives other octets of the same shapes; run it when a shape is missing. The keys
are made only where there are none.
"""

from __future__ import annotations

import base64
import io
import plistlib
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from bramley.mdm import plist
from bramley.mdm.plist import Writable
from bramley.pki import certificates, cms, csr, keys, names, oids, pkcs12, xar
from bramley.pki.ca.authority import Authority, issue, self_signed
from bramley.pki.ca.profiles import DEVICE_IDENTITY, IDENTITY_CA
from bramley.pki.cms import ber, der, values
from bramley.pki.keys import KeyAlgorithm
from bramley.pki.pkcs12 import Bundle, Style
from bramley.pki.scep import attributes, enrollment, server
from bramley.pki.scep.enrollment import Signer
from bramley.pki.scep.messages import FailInfo, MessageType, PKIStatus
from bramley.pki.scep.queries import SERVED
from bramley.sandbox.signature import Identity, SignatureStyle
from bramley.sandbox.signature import sign as sign_as_a_device
from tests.pki.xar import building

from .targets import archive, asking
from .world import BODY, CORPUS, KEYS, NONCE, NOW, PASSWORD, SUBJECT, World, world


def make_keys() -> None:
    ca_key, device_key = keys.generate(KeyAlgorithm.RSA_2048), keys.generate(KeyAlgorithm.RSA_2048)
    curve_key = keys.generate(KeyAlgorithm.P_256)
    ca = Authority(self_signed(IDENTITY_CA, ca_key, names.make("Orchard Identity CA"), now=NOW), ca_key)
    device, curve = (issue(ca, DEVICE_IDENTITY, key.public_key(), subject=SUBJECT, now=NOW) for key in (device_key, curve_key))
    KEYS.mkdir(exist_ok=True)
    for name, key, certificate in (("ca", ca_key, ca.certificate), ("device", device_key, device), ("curve", curve_key, curve)):
        (KEYS / f"{name}.key").write_bytes(keys.to_pkcs8(key))
        (KEYS / f"{name}.crt").write_bytes(certificates.der(certificate))


def signed(here: World) -> Iterator[bytes]:
    sign = partial(cms.sign, BODY, key=here.device_key, certificate=here.device)
    yield sign(detached=True)
    yield sign(signing_time=NOW, others=[here.ca])
    yield sign(signed_attributes=False, detached=True)
    yield sign(signer_id="ski", digest="sha512")
    yield cms.sign(BODY, key=here.curve_key, certificate=here.curve, digest="sha384")
    for style in (SignatureStyle.APPLE, SignatureStyle.DER):
        yield sign_as_a_device(BODY, Identity(here.device, here.device_key), style, now=NOW) or b""
    for certificate in odd_certificates(here):
        # found only by reading the extensions of the certificate, whatever is in them
        yield cms.sign(BODY, key=here.curve_key, certificate=here.curve, signer_id="ski", certificates=[certificate])
    yield cms.certs_only([here.ca])


def headers(here: World) -> Iterator[bytes]:
    for message in signed(here):
        yield message
        # as of a certificate of version 5, which nobody has
        yield message.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x04")
    yield certificates.der(here.device)


def odd_certificates(here: World) -> Iterator[x509.Certificate]:
    """Certificates by our CA that no CA makes: with names of kinds that nobody reads, constraints, or broken values."""
    identifier = x509.SubjectKeyIdentifier.from_public_key(here.curve_key.public_key())
    constraints = x509.NameConstraints([x509.DNSName("example.com")], None)
    other = x509.OtherName(x509.ObjectIdentifier("1.2.3"), b"\5\0")
    x400_address = der.sequence(der.context(3, b""))
    unread: tuple[x509.ExtensionType, ...] = (
        constraints,
        x509.SubjectAlternativeName([x509.DNSName("a.example"), other]),
        x509.UnrecognizedExtension(x509.ObjectIdentifier(oids.SUBJECT_ALTERNATIVE_NAME), x400_address),
        x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.15"), der.null()),
    )
    for extension in unread:
        builder = (
            x509.CertificateBuilder(SUBJECT, here.ca.subject, here.curve_key.public_key(), 2**64)
            .not_valid_before(NOW)
            .not_valid_after(NOW)
            .add_extension(identifier, critical=False)
            .add_extension(extension, critical=extension is constraints)
        )
        yield builder.sign(here.ca_key, hashes.SHA256())


def enveloped(here: World) -> Iterator[bytes]:
    for cipher in ("aes-128-cbc", "aes-256-cbc", "des-ede3-cbc", "des-cbc"):
        yield cms.encrypt(BODY, recipients=[here.ca], cipher=cipher, allow_single_des=True)
    yield cms.encrypt(BODY, recipients=[here.device, here.ca])


def requests(here: World) -> Iterator[bytes]:
    for key in (here.device_key, here.curve_key):
        yield csr.build(key, SUBJECT, challenge_password=PASSWORD)
    yield csr.build(here.curve_key, x509.Name([]), sans=[x509.DNSName("mac.example"), x509.RFC822Name("jo@example.com")])
    yield csr.build(here.curve_key, names.make("plain"))


def scep_requests(here: World) -> Iterator[bytes]:
    signer = Signer(here.device, here.device_key)
    for renewal, cipher, digest in ((False, "aes-256-cbc", "sha256"), (True, "des-ede3-cbc", "sha1")):
        request = csr.build(here.device_key, SUBJECT, challenge_password=PASSWORD)
        sent = enrollment.request(request, signer=signer, ca=here.ca, renewal=renewal, now=NOW, digest=digest, cipher=cipher)
        yield sent.message


def asked(here: World, kind: MessageType) -> bytes:
    """What a message of this type holds: a CSR, or which request, certificate or CRL is meant."""
    if kind in (MessageType.PKCSReq, MessageType.RenewalReq):
        return csr.build(here.device_key, SUBJECT, challenge_password=PASSWORD)
    named = der.integer(here.device.serial_number) if kind is not MessageType.CertPoll else SUBJECT.public_bytes()
    return der.sequence(here.ca.subject.public_bytes(), named)


def scep_messages(here: World) -> Iterator[bytes]:
    for kind in sorted(SERVED):
        yield asking(kind, asked(here, kind))
    # known from drafts, and served by nobody
    yield asking(MessageType.UpdateReq, asked(here, MessageType.PKCSReq))


def scep_asked(here: World) -> Iterator[bytes]:
    for number, kind in enumerate(sorted(SERVED)):
        yield bytes((number,)) + asked(here, kind)


def scep_replies(here: World) -> Iterator[bytes]:
    message = next(scep_requests(here))
    request = replace(server.open_request(message, here.responder, now=NOW), sender_nonce=NONCE)
    yield server.success(request, here.responder, here.device, now=NOW)
    yield server.failure(request, here.responder, FailInfo.badRequest, now=NOW, text="spent")


def scep_attributes() -> Iterator[bytes]:
    encode = partial(attributes.encode, transaction_id="TRANSACTION-1", sender_nonce=NONCE, recipient_nonce=NONCE)
    failure = partial(encode, status=PKIStatus.FAILURE, fail_info=FailInfo.badAlg, fail_info_text="gründlich")
    for written in (failure(message_type=MessageType.CertRep), encode(message_type=MessageType.PKCSReq)):
        yield b"".join(der.sequence(der.oid(oid), der.set_of([value])) for oid, value in written)


def queries(here: World) -> Iterator[bytes]:
    encoded = base64.b64encode(next(scep_requests(here))[:200])
    escaped = quote(encoded, safe="").encode()
    yield from (encoded, escaped, quote(escaped).encode(), encoded.rstrip(b"="), encoded.replace(b"+", b" "))
    yield base64.urlsafe_b64encode(bytes(range(256)))


def chains_of_one(here: World) -> Iterator[bytes]:
    for certificate in (here.ca, here.device, here.curve):
        yield certificates.der(certificate)
    yield certificates.pem(here.device)
    yield from map(certificates.der, odd_certificates(here))
    yield certificates.der(here.device).replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x04")


def ocsp_requests(here: World) -> Iterator[bytes]:
    for digest in (hashes.SHA1(), hashes.SHA256(), hashes.SHA384()):
        builder = ocsp.OCSPRequestBuilder().add_certificate(here.device, here.ca, digest)
        yield builder.build().public_bytes(Encoding.DER)
        yield builder.add_extension(x509.OCSPNonce(NONCE), critical=False).build().public_bytes(Encoding.DER)
    odd = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), der.null())
    yield builder.add_extension(odd, critical=True).build().public_bytes(Encoding.DER)
    # of two certificates, which cryptography does not write
    single = ber.parse(builder.build().public_bytes(Encoding.DER)).children[0].children[0].children[0].raw
    yield der.sequence(der.sequence(der.sequence(single, single)))


def archives(here: World) -> Iterator[bytes]:
    for bundle in (Bundle(here.device_key, here.device, (here.ca,)), Bundle(here.curve_key, here.curve)):
        for style, digest in ((Style.APPLE, "sha1"), (Style.MODERN, "sha256")):
            yield archive(parts_of_archive(bundle, style), digest)


def parts_of_archive(bundle: Bundle, style: Style) -> bytes:
    """What is below the MAC: without it, because `cryptography` makes that one costly, and executions should be cheap."""
    pfx = ber.parse(pkcs12.write(bundle, PASSWORD, style=style, iterations=8)).children
    return ber.parse(values.octets(pfx[1].children[1].children[0])).content


def property_lists() -> Iterator[bytes]:
    yield plist.dumps({"a": [1, -2, 1.5, True, False, b"data", NOW, {"": "<&>"}], "b": "ü🍏"})
    yield plist.dumps([])
    yield plistlib.dumps({"key": ["string", 0x7FFFFFFFFFFFFFFF, b"\0" * 60]})
    yield b'<plist version="1.0"><integer>0x1F</integer></plist>'


def messages() -> Iterator[bytes]:
    udid = {"UDID": "E3568F17-92ED-450A-8904-C3BF4CB7E9A5"}
    user = {"UserID": "A7", "UserShortName": "jo", "UserLongName": "Jo"}
    topic = {"Topic": "com.apple.mgmt.External.1"}
    push: dict[str, Writable] = {**topic, "Token": bytes(32), "PushMagic": "magic", "UnlockToken": b"token"}
    yield plist.dumps({"MessageType": "Authenticate", **udid, **topic, "SerialNumber": "C02X0001"})
    yield plist.dumps({"MessageType": "TokenUpdate", **udid, **user, **push})
    yield plist.dumps({"MessageType": "SetBootstrapToken", "EnrollmentID": "one", "BootstrapToken": b"token"})
    yield plist.dumps({"MessageType": "DeclarativeManagement", **udid, "Endpoint": "tokens", "Data": b"{}"})
    yield plist.dumps({"Status": "Idle", **udid})
    chain: list[Writable] = [
        {"ErrorCode": 12021, "ErrorDomain": "MDM", "LocalizedDescription": "no", "USEnglishDescription": "no"}
    ]
    yield plist.dumps({"Status": "Error", "CommandUUID": "one", "ErrorChain": chain, **udid})


def packages(here: World) -> list[bytes]:
    """A flat package, and the same one signed."""
    plain = building.build({"PackageInfo": b"abc", "d/x": b"hello"})
    target = io.BytesIO()
    signer = xar.Identity(here.device_key, (here.device, here.ca))
    xar.sign(xar.read(io.BytesIO(plain)), target, signer, now=NOW, progress=lambda _done: None)
    return [plain, target.getvalue()]


def main() -> None:
    if not KEYS.is_dir():
        make_keys()
    here = world()
    shutil.rmtree(CORPUS, ignore_errors=True)
    for target, seeds in {
        "cms": signed(here),
        "cms-enveloped": enveloped(here),
        "mdm-signature": headers(here),
        "cms-certs-only": iter([cms.certs_only([here.device]), cms.certs_only([here.device, here.ca])]),
        "scep-request": scep_requests(here),
        "scep-message": scep_messages(here),
        "scep-asked": scep_asked(here),
        "scep-reply": scep_replies(here),
        "scep-attributes": scep_attributes(),
        "scep-get": queries(here),
        "ocsp-request": ocsp_requests(here),
        "csr": requests(here),
        "certificate": chains_of_one(here),
        "pkcs12": archives(here),
        "pkcs12-inside": (parts_of_archive(Bundle(here.curve_key, here.curve), style) for style in Style),
        "xar": iter(packages(here)),
        "xar-table": (building.unpacked(each)[0].encode() for each in packages(here)),
        "plist": property_lists(),
        "checkin": messages(),
    }.items():
        folder = CORPUS / target
        folder.mkdir(parents=True)
        for number, seed in enumerate(seeds):
            (folder / f"{number:02}").write_bytes(seed)


if __name__ == "__main__":
    main()
