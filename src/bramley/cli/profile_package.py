"""`bramley profile sign-package`: installer packages in files, signed, and looked at."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from cryptography import x509

from bramley.cli.arguments import read_file, read_password
from bramley.cli.output import Output, text
from bramley.cli.session import SLOW_SECONDS, Session
from bramley.cli.verbs import DryRunOption, Verb
from bramley.clock import SystemClock
from bramley.errors import BadInput
from bramley.operations import package_signers, package_timestamps, packages
from bramley.operations.installation import Absent
from bramley.operations.package_signers import PackageSigner, package_signer
from bramley.operations.package_timestamps import Timestamp
from bramley.operations.packages import Package, Progress, Verdict
from bramley.operations.push.apple_cas import roots
from bramley.pki import certificates, names, pairs, xar
from bramley.pki.timestamps import VerifiedTimestamp

_WHERE: Final = "Add --output FILE, or --verify."
_WHO: Final = "Add --identity FILE, or keep one by `bramley profile package-signer import`."


def register(app: typer.Typer) -> None:
    """Adds the verb to `bramley profile`."""
    app.command("sign-package", cls=Verb)(sign_package)


def sign_package(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The flat installer package (.pkg).")],
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="The file to write.")] = None,
    identity: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="Who signs, with the chain: PKCS#12, or PEM in several files; by default the one that is kept."
        ),
    ] = None,
    password_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file whose first line is the password of the identity.")
    ] = None,
    timestamp: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Have this timestamp authority confirm when it was signed, so that it holds after the certificate's end. "
            "Apple's is http://timestamp.apple.com/ts01.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the signature of a package that is signed already.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Say who signed the package and whether all of it holds.")] = False,
    dry_run: DryRunOption = False,
) -> None:
    """Sign an installer package, as Apple's productsign does, or look at one that is signed.

    The files in it are copied as they are. With --verify, exits 1 for a package that nobody signed or that was changed since.
    """
    session, now = Session(ctx), SystemClock().now()
    if verify:
        if output or identity or password_file or timestamp is not None or force or dry_run:
            raise BadInput("--verify only looks: no other option goes with it.", advice="Look first, then sign.")
        with _progress(session.output) as progress:
            verdict = packages.verify_package(file, now=now, roots=roots(session.settings()), progress=progress)
        _show_verdict(session.output, file, verdict)
        if verdict.faults:
            raise typer.Exit(1)
        return
    if output is None:
        raise BadInput("Expected where the signed package goes.", advice=_WHERE)
    url = None if timestamp is None else package_timestamps.require_address(timestamp)
    if identity:
        files = [read_file(each, "identity", most=pairs.LARGEST) for each in identity]
        signer = package_signer(pairs.read_pair(files, read_password(password_file)), now=now)
    elif password_file is not None:
        raise BadInput("--password-file goes with --identity, which is missing.")
    else:
        signer = _kept(session)
    stamp = None if url is None else _stamp(session, url, signer)
    with _progress(session.output) as progress:
        package, stamped = packages.sign_package(
            file, output, signer, now=now, replace=force, stamp=stamp, dry_run=dry_run, progress=progress
        )
    told = None
    if stamped is not None:
        told = package_timestamps.judge(stamped, signer.identity.chain, roots(session.settings()))
    _show_signed(session.output, output, package, signer, told, dry_run)


def _kept(session: Session) -> PackageSigner:
    found = None
    with suppress(Absent):
        found = session.run(package_signers.kept)
    if found is None:
        raise BadInput("Expected who signs the package: no identity is kept for it.", advice=_WHO)
    return found


def _stamp(session: Session, url: str, signer: PackageSigner) -> xar.Stamp:
    settings, chain = session.settings(), signer.identity.chain

    def stamp(signature: bytes) -> VerifiedTimestamp:
        asking = package_timestamps.ask(signature, url=url, chain=chain, settings=settings)
        return asyncio.run(session.patiently(asking, "asking for a timestamp…"))

    return stamp


def _show_signed(
    output: Output, target: Path, package: Package, signer: PackageSigner, timestamp: Timestamp | None, dry_run: bool
) -> None:
    warnings = [*signer.warnings, *(timestamp.warnings if timestamp else ())]
    if package.trailing:
        warnings.append(
            f"{package.trailing} bytes behind the package are left out: a notarization does not outlive the signature."
        )
    if output.as_json:
        output.json(
            {
                "dry_run": dry_run,
                "file": target,
                "package": _as_json(package),
                "replaced": package.is_signed,
                "signed_by": [_certificate_as_json(each) for each in signer.identity.chain],
                "timestamp": _timestamp_as_json(timestamp),
                "warnings": warnings,
            }
        )
        return
    for each in warnings:
        output.remark(f"warning: {each}")
    leaf = signer.identity.chain[0]
    output.line(f"{target}: {'would be ' if dry_run else ''}signed by {_words(leaf)}")
    if timestamp and timestamp.found:
        output.line(f"timestamp: {_timestamp_words(timestamp.found)}")


def _show_verdict(output: Output, file: Path, verdict: Verdict) -> None:
    if output.as_json:
        output.json(
            {
                "file": file,
                "package": _as_json(verdict.package),
                "holds": not verdict.faults,
                "signed_by": [_certificate_as_json(each) for each in verdict.chain],
                "signing_time": verdict.signing_time,
                "timestamp": _timestamp_as_json(verdict.timestamp),
                "faults": list(verdict.faults),
                "warnings": list(verdict.warnings),
                "notes": list(verdict.notes),
            }
        )
        return
    package, stamped = verdict.package, verdict.timestamp.found if verdict.timestamp else None
    output.fields(
        f"{package.kind} package",
        [
            ("signature", "does not hold" if verdict.faults else "holds, and so does every file"),
            *(("fault", each) for each in verdict.faults),
            *(("signed by" if not index else "issued by", _words(each)) for index, each in enumerate(verdict.chain)),
            ("signed at", f"{text(verdict.signing_time)} UTC, it says" if verdict.signing_time else ""),
            ("timestamp", _timestamp_words(stamped) if stamped else "does not hold" if verdict.timestamp else ""),
            ("checksum", package.digest),
            ("files", package.files),
            ("behind it", f"{package.trailing} bytes, such as a notarization's ticket" if package.trailing else ""),
            *(("warning", each) for each in verdict.warnings),
            *(("note", each) for each in verdict.notes),
        ],
    )


def _words(certificate: x509.Certificate) -> str:
    return f"{names.text(certificate.subject)}, until {text(certificate.not_valid_after_utc)} UTC"


def _certificate_as_json(certificate: x509.Certificate) -> dict[str, str | datetime]:
    return {
        "subject": names.text(certificate.subject),
        "sha256": certificates.sha256(certificate),
        "not_before": certificate.not_valid_before_utc,
        "not_after": certificate.not_valid_after_utc,
    }


def _timestamp_words(found: VerifiedTimestamp) -> str:
    return f"{text(found.time)} UTC, by {names.text(found.certificate.subject)}"


def _timestamp_as_json(timestamp: Timestamp | None) -> dict[str, object] | None:
    if timestamp is None:
        return None
    found = timestamp.found
    return {
        "holds": found is not None,
        "believed": found is not None and not timestamp.doubt,
        "time": found.time if found else None,
        "by": [_certificate_as_json(each) for each in (found.certificate, *found.others)] if found else [],
    }


def _as_json(package: Package) -> dict[str, object]:
    return {
        "kind": package.kind,
        "files": package.files,
        "bytes": package.size,
        "checksum": package.digest,
        "signed": package.is_signed,
        "trailing_bytes": package.trailing,
    }


@contextmanager
def _progress(output: Output) -> Iterator[Progress]:
    """A bar for a person at a terminal, once it has taken longer than a moment."""
    if output.as_json or not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    begun = time.monotonic()
    bar = Bar(console=Console(file=sys.stderr), transient=True)
    task = bar.add_task("going over the package")

    def show(done: int, total: int) -> None:
        if time.monotonic() - begun >= SLOW_SECONDS:
            bar.start()
            bar.update(task, completed=done, total=total)

    try:
        yield show
    finally:
        bar.stop()
