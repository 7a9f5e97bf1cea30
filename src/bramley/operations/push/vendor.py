"""Being an MDM vendor (route A): the vendor certificate, and signing requests with it, one's own and those of others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bramley.apple import push_certificate as apple
from bramley.model.events import Event, EventKind
from bramley.model.kinds import Kind
from bramley.model.lineages import Policy, Turn, Version
from bramley.model.lineages import VersionState as S
from bramley.operations import records, vault
from bramley.operations.errors import Invalid, NotReady
from bramley.operations.installation import Installation
from bramley.operations.push import apple_cas, lineages
from bramley.operations.push.requests import Asked, mark_signed
from bramley.pki import certificates, csr, keys
from bramley.storage.protocols import Tx

NAME = "vendor"
"""Of the one lineage of vendor certificates."""

COMMON_NAME = "Bramley MDM vendor"


@dataclass(frozen=True, slots=True)
class VendorRequest:
    """An open request for a vendor certificate, for Apple's developer portal. `found` as in `requests.Asked`."""

    version: Version
    found: bool

    @property
    def request(self) -> x509.CertificateSigningRequest:
        if self.version.request is None:
            raise AssertionError("an open request holds what was asked")
        return x509.load_der_x509_csr(self.version.request)


async def ask(
    installation: Installation, *, account: str, email: str, country: str = "US", new_key: bool = False, actor: str
) -> VendorRequest:
    """Makes a key and a request for the vendor certificate, or finds the open ones. `account` is the developer account."""
    now, fresh = installation.clock.now(), await asyncio.to_thread(keys.generate, keys.KeyAlgorithm.RSA_2048)

    def put(tx: Tx) -> VendorRequest:
        lineage = records.lineage(tx, Kind.PUSH_VENDOR, NAME, Policy(), now=now)
        lineage = lineages.note(tx, lineage, account=account.strip(), route="", now=now, actor=actor)
        waiting = [version for version in tx.lineages.versions(lineage.id) if version.state in lineages.OPEN]
        if waiting and not new_key:
            return VendorRequest(waiting[-1], found=True)
        for version in waiting:
            records.move(tx, version, S.FAILED, now=now, actor=actor, reason="another request was made in its place")
        request = apple.customer_request(fresh, common_name=COMMON_NAME, email=email, country=country)
        key_id = vault.keep(tx, installation.sealer, fresh, Kind.PUSH_VENDOR, now=now, actor=actor)
        version = records.plan(tx, lineage, request.public_bytes(Encoding.DER), key_id, now=now, actor=actor)
        version = records.move(tx, version, S.REQUESTED, now=now, actor=actor)
        version = records.move(tx, version, S.AWAITING, now=now, actor=actor, turn=Turn.HUMAN)
        return VendorRequest(version, found=False)

    return await installation.store.run(put)


async def import_certificate(
    installation: Installation,
    certificate: x509.Certificate,
    key: keys.PrivateKey | None,
    *,
    cas: Sequence[x509.Certificate] = (),
    fetch: bool = True,
    actor: str,
    dry_run: bool = False,
) -> Version | None:
    """Puts a vendor certificate in force, with the chain that Apple wants to see beside every signature. None on a dry run.

    Without a key, the one of the request that it answers. Raises PushCertificateError for one that is not a vendor's, has
    expired, or chains to no root of Apple's; Invalid for one whose key nobody gave.
    """
    now = installation.clock.now()
    asked, own = await installation.store.read(lambda tx: _asked(tx, installation, certificate))
    key = key or own
    if key is None:
        raise Invalid(
            "This server holds no key that fits the vendor certificate.",
            advice="Give the key of its request by --key, or make the request by `bramley push vendor request`.",
        )
    identity = apple.vendor_identity(certificate, key, now)
    chain = await apple_cas.chain(installation, certificate, cas, fetch=fetch)

    def put(tx: Tx) -> Version | None:
        known = tx.lineages.by_sha256(certificates.sha256(certificate))
        if known is not None:
            raise Invalid(f"This vendor certificate is here already: {known.id}, {known.state}.")
        if dry_run:
            return None
        apple_cas.keep(tx, chain[1:], now=now, actor=actor)
        lineage = records.lineage(tx, Kind.PUSH_VENDOR, NAME, Policy(), now=now)
        still = tx.lineages.version(asked.id) if asked else None
        if still is not None and still.state in lineages.OPEN:
            version = records.fulfil(tx, still, certificate, now=now, actor=actor, detail={})
        else:
            held = still.key_id if still else None
            key_id = held or vault.keep(tx, installation.sealer, identity.key, Kind.PUSH_VENDOR, now=now, actor=actor)
            imported = EventKind.CERTIFICATE_IMPORTED
            version = records.record(
                tx, lineage, certificate, state=S.ISSUED, now=now, actor=actor, event=imported, key_id=key_id
            )
        return records.promote(tx, version, now=now, actor=actor)

    return await installation.store.run(put)


async def sign(installation: Installation, asked: Asked, *, actor: str, dry_run: bool = False) -> bytes:
    """The file for identity.apple.com from an open request of ours; from then on it waits for a person to upload it."""
    signed = await _signed(installation, asked.request)
    if not dry_run:
        await mark_signed(installation, asked, actor=actor)
    return signed.to_file()


async def sign_other(installation: Installation, request: bytes, *, actor: str) -> bytes:
    """The file for identity.apple.com from somebody else's request (PEM or DER): being the vendor for another organization.

    Raises BadRequest and PushCertificateError for a request that Apple would refuse.
    """
    found = _read(request)
    signed = await _signed(installation, found)
    now = installation.clock.now()
    detail = {
        "subject": found.subject.rfc4514_string(),
        "spki_sha256": keys.spki_sha256(csr.load(found.public_bytes(Encoding.DER)).public_key),
    }
    await installation.store.run(lambda tx: tx.events.append(Event(now, EventKind.PUSH_REQUEST_SIGNED, actor, detail=detail)))
    return signed.to_file()


async def _signed(installation: Installation, request: x509.CertificateSigningRequest) -> apple.SignedRequest:
    """The request signed by the vendor certificate in force; everything that Apple checks is checked before it is given out."""
    now = installation.clock.now()
    identity = await installation.store.read(lambda tx: _identity(tx, installation))
    chain = await apple_cas.chain(installation, identity.certificate, (), fetch=False)
    return apple.sign_request(request, identity, chain, roots=apple_cas.roots(installation.settings), now=now)


def _read(request: bytes) -> x509.CertificateSigningRequest:
    try:
        if b"-----BEGIN" in request:
            return x509.load_pem_x509_csr(request)
        return x509.load_der_x509_csr(request)
    except ValueError:
        raise Invalid(
            "Expected a certificate request in PEM or DER; what came is something else.",
            advice="`bramley inspect FILE` says what a file is.",
        ) from None


def _identity(tx: Tx, installation: Installation) -> apple.VendorIdentity:
    version = records.active(tx, Kind.PUSH_VENDOR, NAME)
    if version is None or version.certificate is None or version.key_id is None:
        raise NotReady(
            "There is no vendor certificate to sign with.",
            advice="`bramley push vendor request` begins; without a Developer Enterprise account see `bramley push start`.",
        )
    key = vault.take(tx, installation.sealer, version.key_id)
    return apple.vendor_identity(certificates.load(version.certificate), key, installation.clock.now())


def _asked(tx: Tx, installation: Installation, certificate: x509.Certificate) -> tuple[Version | None, keys.PrivateKey | None]:
    """The version of ours whose key the certificate is for, with that key."""
    lineage = tx.lineages.find(Kind.PUSH_VENDOR, NAME)
    spki = keys.spki_sha256(certificates.public_key(certificate))
    known = tx.lineages.versions(lineage.id) if lineage else ()
    for version in reversed(known):
        if version.spki_sha256 == spki and version.key_id is not None:
            return version, vault.take(tx, installation.sealer, version.key_id)
    return None, None
