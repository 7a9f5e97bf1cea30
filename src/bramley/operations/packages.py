"""Installer packages (flat `.pkg` files, which are xar archives): signing one, and saying who did.

An MDM command `InstallEnterpriseApplication` installs a package only where it is signed. Apple's certificate for this is the
*Developer ID Installer* certificate; another does where its root is trusted on the device, as a profile of ours can see to.
Without a timestamp a package is good for as long as the certificate is.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Final

from cryptography import x509

from bramley.errors import OutsideTrouble
from bramley.operations.errors import Conflict, Invalid
from bramley.operations.package_signers import PackageSigner, objections, open_end
from bramley.operations.package_timestamps import Timestamp, of_proof, validity
from bramley.pki import certificates, chains, names, xar
from bramley.pki.errors import BadCertificate
from bramley.pki.timestamps import VerifiedTimestamp

_SHOWN: Final = 3

Progress = Callable[[int, int], None]
"""Told how many bytes of how many are done."""


class PackageKind(StrEnum):
    """What a package is, by the file at its top that says so."""

    PRODUCT = "product"
    COMPONENT = "component"


_KINDS: Final = {"Distribution": PackageKind.PRODUCT, "PackageInfo": PackageKind.COMPONENT}


@dataclass(frozen=True, slots=True)
class Package:
    """What a package is. `trailing` counts the bytes behind its end: a notarization's ticket."""

    kind: PackageKind
    files: int
    size: int
    digest: str
    is_signed: bool
    trailing: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What verifying found. `chain` leads from the signer as far up as the certificates in the package go.

    A fault means that the package is not what its signer signed, or that nobody did; a warning, that a Mac may not take it; a
    note, what speaks for it where a certificate has ended.
    """

    package: Package
    chain: tuple[x509.Certificate, ...]
    signing_time: datetime | None
    timestamp: Timestamp | None
    faults: tuple[str, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


def sign_package(
    source: Path,
    target: Path,
    signer: PackageSigner,
    *,
    now: datetime,
    replace: bool,
    stamp: xar.Stamp | None,
    dry_run: bool,
    progress: Progress,
) -> tuple[Package, VerifiedTimestamp | None]:
    """Writes a signed copy of a package and says what the package was, and which timestamp `stamp` gave the signature.

    In a dry run, everything is done but writing, and asking for a timestamp. The copy is there whole or not at all.

    Raises Conflict where the target exists, or where the package is signed and `replace` does not allow for that; Invalid and
    BadXar for what is no package; Damaged for one whose bytes its own checksums disown; OutsideTrouble where the disk fails; and
    what `stamp` raises.
    """
    with _opened(source) as stream:
        archive, package = _read(stream)
        if package.is_signed and not replace:
            raise Conflict("The package is signed already.", advice="Look with --verify; --force replaces the signature.")
        if target.exists():
            raise Conflict(f"{target} exists.", advice="Name another file.")
        if not target.parent.is_dir():
            raise Invalid(f"There is no folder {target.parent}.", advice="Make it, or name another place.")
        where = _nowhere() if dry_run else _beside(target, mode=os.fstat(stream.fileno()).st_mode & 0o777)
        step = _steps(archive.size, progress)
        with where as copy:
            asked = None if dry_run else stamp
            stamped = xar.sign(archive, copy, signer.identity, now=now, replace=replace, stamp=asked, progress=step)
    return package, stamped


def verify_package(source: Path, *, now: datetime, roots: Collection[str], progress: Progress) -> Verdict:
    """Who signed a package, and whether it is still what they signed. `roots` are SHA-256 of the roots that count as Apple's.

    Raises Invalid and BadXar for what is no package.
    """
    with _opened(source) as stream:
        archive, package = _read(stream)
        found = xar.verify(archive, progress=_steps(archive.size, progress))
    proofs = [proof for proof in (found.rsa, found.cms) if proof is not None]
    signers = [proof.certificates for proof in proofs if proof.certificates]
    chain = chains.chain_of(signers[0][0], signers[0][1:]) if signers else ()
    timestamp = of_proof(found.cms, roots) if found.cms is not None else None
    faults = tuple(_faults(found))
    # with a fault, such as two signers, a timestamp over the one signature proves nothing of the package
    age = None if faults else timestamp
    doubts = () if timestamp is None else timestamp.warnings
    return Verdict(
        package=package,
        chain=chain,
        signing_time=found.cms.signing_time if found.cms is not None else None,
        timestamp=timestamp,
        faults=faults,
        warnings=(*doubts, *_warnings(found, chain, age, now, roots)) if proofs else (),
        notes=tuple(_notes(chain, age, now)),
    )


def _faults(found: xar.Verification) -> Iterator[str]:
    if not found.checksum_holds:
        yield "The table of contents is not the one that the checksum was made of."
    if found.altered:
        more = f" and {len(found.altered) - _SHOWN} more" if len(found.altered) > _SHOWN else ""
        yield f"Changed after the package was made: {', '.join(map(repr, found.altered[:_SHOWN]))}{more}."
    if found.rsa is None and found.cms is None:
        yield "Nobody signed the package."
    for name, proof in (("RSA", found.rsa), ("CMS", found.cms)):
        if proof is not None and proof.fault:
            yield f"The {name} signature does not hold. {proof.fault}"
    leaves = {proof.certificates[0] for proof in (found.rsa, found.cms) if proof is not None and proof.certificates}
    if len(leaves) > 1:
        yield "The two signatures are by different signers."


def _warnings(
    found: xar.Verification, chain: Sequence[x509.Certificate], timestamp: Timestamp | None, now: datetime, roots: Collection[str]
) -> Iterator[str]:
    if found.cms is None:
        yield "There is no CMS signature: such a package cannot be notarized."
    if found.rsa is None:
        yield "There is no RSA signature, which Macs look for first."
    for each in chain:
        if not each.not_valid_before_utc <= now <= each.not_valid_after_utc and not _made_up_for(each, timestamp, now):
            yield f"{validity(each)}; no timestamp that is believed here proves that it signed then."
    if not chain:
        return
    try:
        yield from objections(chain[0])
    except BadCertificate as error:
        yield f"What {names.text(chain[0].subject)} is for cannot be read. {error.message}"
    yield from open_end(chain)
    if certificates.sha256(chain[-1]) not in roots and chain[-1].subject == chain[-1].issuer:
        yield f"{names.text(chain[-1].subject)} is not a root of Apple's: a Mac must be told to trust it."


def _notes(chain: Sequence[x509.Certificate], timestamp: Timestamp | None, now: datetime) -> Iterator[str]:
    for each in chain:
        if _made_up_for(each, timestamp, now):
            ended = f"{each.not_valid_after_utc:%Y-%m-%d}"
            yield f"{names.text(each.subject)} ended on {ended}; the timestamp proves that the package was signed before."


def _made_up_for(certificate: x509.Certificate, timestamp: Timestamp | None, now: datetime) -> bool:
    """Whether a certificate has ended, and a timestamp proves that the package was signed before."""
    return now > certificate.not_valid_after_utc and timestamp is not None and timestamp.proves(certificate)


def _read(stream: BinaryIO) -> tuple[xar.Archive, Package]:
    archive = xar.read(stream)
    kind = next((kind for name, kind in _KINDS.items() if name in archive.table.names), None)
    if kind is None:
        raise Invalid(
            f"Expected an installer package, which has {' or '.join(_KINDS)} at its top; this archive has neither.",
            advice="Build the package with pkgbuild or productbuild.",
        )
    return archive, Package(kind, archive.table.files, archive.size, archive.digest, archive.table.is_signed, archive.trailing)


def _steps(total: int, progress: Progress) -> xar.Progress:
    done = 0

    def step(more: int) -> None:
        nonlocal done
        done += more
        progress(done, total)

    return step


@contextmanager
def _opened(source: Path) -> Iterator[BinaryIO]:
    try:
        stream = source.open("rb")
    except OSError as error:
        advice = "A package that is a folder has to be made flat first: pkgutil --flatten." if source.is_dir() else ""
        raise Invalid(f"The package {source} cannot be read: {error.strerror}.", advice=advice) from None
    with stream:
        yield stream


@contextmanager
def _nowhere() -> Iterator[BinaryIO]:
    with Path(os.devnull).open("wb") as nowhere:
        yield nowhere


@contextmanager
def _beside(target: Path, *, mode: int) -> Iterator[BinaryIO]:
    """A file next to the target that takes its name once everything went well, and is gone otherwise."""
    try:
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        made = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fchmod(descriptor, mode)
                os.fsync(descriptor)
            made.rename(target)
        except BaseException:
            made.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OutsideTrouble(f"{target} cannot be written: {error.strerror}.", advice="Name another place.") from None
