"""An identity CA that somebody else made or certified: asked for by a request, brought in from files, rolled over to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from bramley.model.events import EventKind
from bramley.model.kinds import Kind
from bramley.model.lineages import Lineage, Version, VersionID
from bramley.model.lineages import VersionState as S
from bramley.operations import authorities, ca_checks, ca_plan, outside_chains, records, vault
from bramley.operations.ca_plan import Rollover
from bramley.operations.errors import Invalid
from bramley.operations.installation import Installation
from bramley.pki import certificates, keys, names, pairs
from bramley.pki.ca import profiles
from bramley.pki.errors import NoPrivateKey, SeveralMatches
from bramley.pki.pkcs12 import Bundle
from bramley.storage.protocols import Tx

_OPEN = frozenset({S.PLANNED, S.REQUESTED, S.AWAITING})


@dataclass(frozen=True, slots=True)
class Request:
    """What another CA is asked to certify (PKCS#10, RFC 2986). `found` says that it was asked before, and is given again."""

    request: x509.CertificateSigningRequest
    found: bool


@dataclass(frozen=True, slots=True)
class Import:
    """What came of an import: the rollover to the new CA, and what deserves a look."""

    rollover: Rollover
    certificate: x509.Certificate
    warnings: tuple[str, ...]


async def ask(installation: Installation, algorithm: keys.KeyAlgorithm | None, *, actor: str) -> Request:
    """A request for the identity CA: for the key and name in force, or for a new key of an algorithm, which stays here.

    A new key's request that is open already is given again, if it is of that algorithm; one of another is given up.
    """
    now = installation.clock.now()
    if algorithm is None:
        held = await installation.store.read(lambda tx: authorities.load(tx, installation.sealer).identity.authority)
        return Request(_request(held.key, held.certificate.subject), found=False)
    fresh = await asyncio.to_thread(keys.generate, algorithm)

    def put(tx: Tx) -> Request:
        lineage, _active = authorities.identity_in_force(tx)
        for version in _requests(tx, lineage):
            request = x509.load_der_x509_csr(version.request or b"")
            if keys.algorithm_of(request.public_key()) is algorithm:
                return Request(request, found=True)
            records.move(tx, version, S.FAILED, now=now, actor=actor, reason="another request was made in its place")
        request = _request(fresh, authorities.next_name(tx, installation.settings.organization))
        key_id = vault.keep(tx, installation.sealer, fresh, Kind.IDENTITY_CA, now=now, actor=actor)
        records.plan(tx, lineage, request.public_bytes(Encoding.DER), key_id, now=now, actor=actor)
        return Request(request, found=False)

    return await installation.store.run(put)


async def import_files(
    installation: Installation,
    files: Sequence[bytes],
    password: str | None,
    *,
    use_after: timedelta = timedelta(),
    actor: str,
) -> Import:
    """Brings in a CA with its key and its chain, PKCS#12 or PEM and DER in any order, and begins the rollover to it.

    A certificate with its chain is enough where the key is here: the one in force, or that of a request. Refused with nothing
    changed: what `ca_checks.check` refuses, a certificate that is here already, a key or a name that serves another CA here
    (Invalid), a rollover that is under way (Conflict), and files that hold no such thing (`pki.errors`).
    """
    now = installation.clock.now()
    try:
        # elsewhere: a password is made costly to try, and a key's numbers to check
        bundle = await asyncio.to_thread(pairs.read_pair, files, password)
    except NoPrivateKey:
        own = await installation.store.read(lambda tx: _with_own_key(tx, installation, files))
        if own is None:
            raise
        bundle = own
    leaf_life = timedelta(days=installation.settings.identity.lifetime_days)
    checked = ca_checks.check(bundle.certificate, bundle.key, bundle.others, leaf_life=leaf_life, now=now)

    def put(tx: Tx) -> Import:
        lineage, _active = authorities.identity_in_force(tx)
        _require_new(tx, installation, bundle)
        issuer = outside_chains.record(tx, checked.chain, now=now, actor=actor)
        new = _record(tx, installation, lineage, bundle, issuer, now=now, actor=actor)
        rollover = ca_plan.enter(tx, new, use_after=use_after, now=now, actor=actor)
        return Import(rollover, bundle.certificate, checked.warnings)

    return await installation.store.run(put)


def _request(key: keys.PrivateKey, subject: x509.Name) -> x509.CertificateSigningRequest:
    """A request that says what is wanted: a CA with no CA below it."""
    wanted = profiles.IDENTITY_CA
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=wanted.path_length), critical=True)
    return builder.sign(key, hashes.SHA256())


def _requests(tx: Tx, lineage: Lineage) -> list[Version]:
    return [version for version in tx.lineages.versions(lineage.id) if version.state in _OPEN]


def _with_own_key(tx: Tx, installation: Installation, files: Sequence[bytes]) -> Bundle | None:
    """The certificate in the files that is for a key of the identity CA held here; None where there is none."""
    found = pairs.read_certificates(files)
    held = {version.spki_sha256: version.key_id for version in authorities.identity_versions(tx) if version.key_id}
    ours = [each for each in dict.fromkeys(found) if keys.spki_sha256(certificates.public_key(each)) in held]
    if not ours:
        return None
    if len(ours) > 1:
        raise SeveralMatches(
            f"Expected one certificate for a key of the identity CA; found {len(ours)}.",
            advice="Give the one that is to be used, and those above it.",
        )
    key_id = held[keys.spki_sha256(certificates.public_key(ours[0]))]
    if key_id is None:
        raise AssertionError("only versions with a key were looked at")
    key = vault.take(tx, installation.sealer, key_id)
    return Bundle(key, ours[0], tuple(each for each in found if each != ours[0]))


def _require_new(tx: Tx, installation: Installation, bundle: Bundle) -> None:
    """Returns where neither the certificate, nor its name with another key, nor its key with another use is here already."""
    known = tx.lineages.by_sha256(certificates.sha256(bundle.certificate))
    if known is not None:
        raise Invalid(
            f"This certificate is here already: {known.id}, {known.state}.",
            advice="`bramley identity ca status` shows what is in force.",
        )
    spki, name = keys.spki_sha256(bundle.key.public_key()), names.text(bundle.certificate.subject)
    if any(version.subject == name and version.spki_sha256 != spki for version in authorities.identity_versions(tx)):
        raise Invalid(
            f"There is an identity CA named {name} already, with another key: clients would take one for the other.",
            advice="Have the new one issued under another name.",
        )
    held = authorities.load(tx, installation.sealer)
    others = (held.root.certificate, held.https.authority.certificate, held.signer.authority.certificate)
    if any(certificates.matches(each, bundle.key.public_key()) for each in others):
        raise Invalid(
            "Its key is that of another authority of this installation.",
            advice="Each authority has a key of its own: make a new one.",
        )


def _record(
    tx: Tx,
    installation: Installation,
    lineage: Lineage,
    bundle: Bundle,
    issuer: VersionID | None,
    *,
    now: datetime,
    actor: str,
) -> Version:
    """The certificate as a version of the identity CA: the answer to the request of its key, where there is one."""
    spki = keys.spki_sha256(bundle.key.public_key())
    with_key = [version for version in tx.lineages.versions(lineage.id) if version.spki_sha256 == spki and version.key_id]
    asked = next((version for version in with_key if version.state in _OPEN), None)
    if asked is not None:
        answered = replace(records.fulfil(tx, asked, bundle.certificate, now=now, actor=actor, detail={}), issuer_version=issuer)
        tx.lineages.update_version(answered)
        return answered
    key_id = with_key[-1].key_id if with_key else None
    if key_id is None:
        key_id = vault.keep(tx, installation.sealer, bundle.key, Kind.IDENTITY_CA, now=now, actor=actor)
    return records.record(
        tx,
        lineage,
        bundle.certificate,
        state=S.ISSUED,
        now=now,
        actor=actor,
        event=EventKind.CERTIFICATE_IMPORTED,
        key_id=key_id,
        issuer=issuer,
    )
