"""Route C: having a request signed by mdmcert.download, which mails the answer encrypted to a certificate made for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bramley.apple import push_certificate as apple
from bramley.model.kinds import Kind
from bramley.model.lineages import Lineage, Policy, Version
from bramley.model.lineages import VersionState as S
from bramley.operations import records, setting_files, vault
from bramley.operations.errors import Invalid, NotReady
from bramley.operations.installation import Installation
from bramley.operations.push import apple_cas, lineages
from bramley.operations.push.requests import Asked, mark_sent, mark_signed
from bramley.pki import certificates, csr, keys
from bramley.storage.protocols import Tx

NAME = "mdmcert.download"
"""Of the one lineage of certificates that answers are encrypted to."""

MAIL_MAY_TAKE = timedelta(days=30)
"""An answer is still to be opened by then, so the certificate lasts longer."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A mailed answer, opened: the file for identity.apple.com, and the request of ours that it is for."""

    file: bytes
    asked: Asked


async def submit(installation: Installation, asked: Asked, *, email: str, actor: str) -> None:
    """Sends an open request to the service. `email` is the address that is registered there, to which the answer goes.

    A certificate to encrypt the answer to is made first and kept until its answer is opened. Raises NotReady without the
    client key; MdmcertRefused with the service's reason; OutsideTrouble where it cannot be reached: asking again is harmless.
    """
    require_client_key(installation)
    service = installation.settings.mdmcert
    roots = setting_files.read("mdmcert.ca_file", service.ca_file)
    encryption = await installation.store.run(lambda tx: _encryption(tx, installation, actor=actor))
    body = apple.sign_request_body(asked.request, encryption, email=email, client_key=service.client_key)
    await apple.submit(body, url=service.url, ca_pem=roots, proxy=installation.settings.apple.proxy or None)
    await mark_sent(installation, asked, actor=actor)


def require_client_key(installation: Installation) -> None:
    """Returns where the setting `mdmcert.client_key` is there; NotReady without it."""
    if not installation.settings.mdmcert.client_key:
        raise NotReady(
            "mdmcert.download wants a client key, and the setting mdmcert.client_key is empty.",
            advice="Ask the service for a key of your own; those of other products are not yours to use.",
        )


async def open_answer(installation: Installation, data: bytes, *, actor: str, dry_run: bool = False) -> Opened:
    """Opens what the service mailed, in hexadecimal with any white space.

    What is inside is checked as Apple will check it, and must be for an open request of ours. From then on the request waits
    for a person to upload it. Raises PushCertificateError; Invalid for an answer to a request that is not ours.
    """
    now = installation.clock.now()
    recipients = await installation.store.read(lambda tx: _recipients(tx, installation))
    if not recipients:
        raise NotReady("Nothing was sent to mdmcert.download from here.", advice="`bramley push mdmcert request` does.")
    file = apple.decrypt(data, recipients)
    signed = apple.read_request(file)
    apple.verify_request(signed, roots=apple_cas.roots(installation.settings), now=now)
    spki = keys.spki_sha256(csr.load(signed.csr.public_bytes(Encoding.DER)).public_key)

    def find(tx: Tx) -> list[tuple[Lineage, Version]]:
        return [pair for pair in lineages.with_key(tx, spki) if pair[1].state in lineages.OPEN]

    waiting = await installation.store.read(find)
    if not waiting:
        raise Invalid(
            "The answer is for a request that is not open here.",
            advice="It may answer an earlier one: `bramley push status` shows what is open.",
        )
    asked = Asked(*waiting[-1], found=True)
    if not dry_run:
        await mark_signed(installation, asked, actor=actor)
    return Opened(file, asked)


def _encryption(tx: Tx, installation: Installation, *, actor: str) -> x509.Certificate:
    """The certificate for answers, made anew where there is none that lasts another month."""
    now = installation.clock.now()
    current = records.active(tx, Kind.MDMCERT_ENCRYPTION, NAME)
    if current is not None and current.certificate and current.not_after and current.not_after - now > MAIL_MAY_TAKE:
        return certificates.load(current.certificate)
    key = keys.generate(keys.KeyAlgorithm.RSA_2048)
    certificate = apple.encryption_certificate(key, now)
    lineage = records.lineage(tx, Kind.MDMCERT_ENCRYPTION, NAME, Policy(), now=now)
    key_id = vault.keep(tx, installation.sealer, key, Kind.MDMCERT_ENCRYPTION, now=now, actor=actor)
    version = records.record(tx, lineage, certificate, state=S.ISSUED, now=now, actor=actor, key_id=key_id)
    records.promote(tx, version, now=now, actor=actor)
    return certificate


def _recipients(tx: Tx, installation: Installation) -> Sequence[tuple[x509.Certificate, keys.PrivateKey]]:
    """Everything an answer may be encrypted to, older certificates included: a mail may lie around."""
    lineage = tx.lineages.find(Kind.MDMCERT_ENCRYPTION, NAME)
    return [
        (certificates.load(version.certificate), vault.take(tx, installation.sealer, version.key_id))
        for version in (tx.lineages.versions(lineage.id) if lineage else ())
        if version.certificate and version.key_id
    ]
