"""`bramley profile inspect` and `sign`: profiles in files, whoever made them."""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509
from cryptography.utils import CryptographyDeprecationWarning

from bramley.cli.arguments import read_file, read_password, write_new
from bramley.cli.inspect import finding_as_json, show_finding
from bramley.cli.session import Session
from bramley.cli.verbs import Verb
from bramley.clock import SystemClock
from bramley.errors import BadInput
from bramley.model.enrollments import Enrollment
from bramley.operations import inspection, signers
from bramley.operations.installation import Absent, Installation
from bramley.operations.live import Live
from bramley.operations.profiles import signing, verdict
from bramley.operations.profiles.addressees import addressees
from bramley.operations.push.apple_cas import roots
from bramley.operations.server_certificates import Pair
from bramley.operations.signers import Signer
from bramley.pki import certificates, names, pairs
from bramley.pki.errors import BadCertificate
from bramley.profiles import documents
from bramley.profiles.documents import LARGEST, Document
from bramley.profiles.encrypt import ContentCipher
from bramley.profiles.errors import BadProfile


@dataclass(frozen=True, slots=True)
class Judged:
    """What devices say of a profile and why, the signer's chain, and those devices of ours that it is encrypted to."""

    shown: str
    why: str
    chain: Sequence[x509.Certificate] = ()
    devices: Sequence[Enrollment] = ()


def register(app: typer.Typer) -> None:
    """Adds the verbs to `bramley profile`."""
    app.command("inspect", cls=Verb)(inspect)
    app.command("sign", cls=Verb)(sign)


def inspect(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The .mobileconfig: plain, signed or encrypted.")],
    anchor: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A root that devices trust besides (PEM or DER); repeatable.")
    ] = None,
) -> None:
    """Say who signed a profile, whether devices show it as Verified and why, for whom it is encrypted, and what is inside.

    The roots that devices trust are this installation's, if there is one, and those that this machine trusts. Exits 1 where the
    signature does not hold.
    """
    session, now = Session(ctx), SystemClock().now()
    data = read_file(file, "profile", most=LARGEST)
    finding = inspection.inspect(data, password=None, now=now, roots=roots(session.settings()))
    try:
        document = documents.read(data)
    except BadProfile as error:
        if not finding.any_broken:
            raise
        _show(session, finding, Judged("refused", error.message), now)
        raise typer.Exit(1) from None
    extra = [
        certificate for each in anchor or () for certificate in pairs.read_certificates([read_file(each, "root", most=LARGEST)])
    ]
    ours, devices = _known_here(session, document)
    judged = verdict.judge(document, ours=[*ours, *extra], public=public_roots(), now=now)
    if document.signed:  # whether to trust the signer is judged here, as it is not in a file by itself
        finding = replace(finding, details={**finding.details, "signature": "good"})
    _show(session, finding, Judged(judged.shown, judged.why, judged.chain, devices), now)


def sign(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The profile, plain.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write.")],
    signer: Annotated[
        Signer | None, typer.Option(help="Which of this installation's signers; by default the one that signs what goes out.")
    ] = None,
    identity: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Another identity, with its chain: PKCS#12, or PEM in several files."),
    ] = None,
    password_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file whose first line is the password of that identity.")
    ] = None,
    encrypt_to: Annotated[
        Path | None, typer.Option(metavar="FILE", help="First encrypt its payloads to this certificate.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(metavar="DEVICE", help="First fill in its variables, and encrypt it, for this device.")
    ] = None,
    cipher: Annotated[
        ContentCipher | None, typer.Option(help="What it is encrypted with; by default as the setting profiles.cipher says.")
    ] = None,
) -> None:
    """Sign a profile in a file, with the whole chain, and encrypt it before if wanted.

    Nothing is written unless all of it can be done: a profile with variables needs --device.
    """
    session, now = Session(ctx), SystemClock().now()
    data = read_file(file, "profile", most=LARGEST)
    if encrypt_to is not None and device is not None:
        raise BadInput("--encrypt-to and --device exclude each other.")
    if cipher is not None and encrypt_to is None and device is None:
        raise BadInput("--cipher goes with --encrypt-to or --device, which are missing.")
    if identity and signer is not None:
        raise BadInput("--signer and --identity exclude each other.")
    recipient = _one_certificate(encrypt_to) if encrypt_to else None
    if identity:
        contents = [read_file(each, "identity", most=pairs.LARGEST) for each in identity]
        bundle = pairs.read_pair(contents, read_password(password_file))
        checked = signers.check(bundle, public=public_roots(), now=now)
        given: Pair | None = signers.pair_of(bundle, checked)
        for each in checked.warnings:
            session.output.remark(f"warning: {each}")
    else:
        given = None

    async def act(installation: Installation) -> bytes:
        live = await Live.start(installation)
        pair = given or await signing.pair_of(live, signer)
        if device is not None:
            return await signing.sign_for_device(live, data, device, pair, now, cipher=cipher)
        return signing.sign_file(data, pair, recipient, now, cipher=by)

    by = cipher or ContentCipher(session.settings().profiles.cipher)
    # with an identity of its own it needs no installation
    signed = signing.sign_file(data, given, recipient, now, cipher=by) if given and device is None else session.run(act)
    write_new(output, signed)
    if session.output.as_json:
        session.output.json({"file": output, "octets": len(signed)})
        return
    session.output.line(str(output))


def _show(
    session: Session,
    finding: inspection.Finding,
    judged: Judged,
    now: datetime,
) -> None:
    if session.output.as_json:
        told = {
            "devices_show": judged.shown,
            "why": judged.why,
            "chain": [certificates.sha256(each) for each in judged.chain],
            "encrypted_to": [{"device": each.id, "name": each.device_name} for each in judged.devices],
        }
        session.output.json(told | {"file": finding_as_json(finding, now)})
        return
    links = [f"{names.text(each.subject)}, until {each.not_valid_after_utc:%Y-%m-%d}" for each in judged.chain]
    devices = [" ".join(filter(None, (each.id or each.key, each.device_name))) for each in judged.devices]
    session.output.fields(
        "on devices",
        [
            ("shown as", judged.shown),
            ("because", judged.why),
            *(("chain", link) for link in links),
            *(("encrypted to", device) for device in devices),
        ],
    )
    show_finding(session.output, finding, now)


def _known_here(session: Session, document: Document) -> tuple[list[x509.Certificate], list[Enrollment]]:
    """This installation's root, and its devices that can open the profile; nothing where there is no installation."""

    async def read(installation: Installation) -> tuple[list[x509.Certificate], list[Enrollment]]:
        root = (await Live.start(installation)).current().authorities.root.certificate
        return [root], await installation.store.read(lambda tx: addressees(tx, document))

    try:
        return session.run(read)
    except Absent:
        return [], []


def public_roots() -> list[x509.Certificate]:
    """What this machine trusts, which stands for Apple's list. What is too odd to be read is left out."""
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)  # some roots have odd serial numbers
        for der in ssl.create_default_context().get_ca_certs(binary_form=True):
            with suppress(BadCertificate):
                found.append(certificates.load(der))
    return found


def _one_certificate(file: Path) -> x509.Certificate:
    found = pairs.read_certificates([read_file(file, "certificate", most=pairs.LARGEST)])
    if len(found) != 1:
        raise BadInput(f"Expected one certificate in {file}; found {len(found)}.")
    return found[0]
