"""`bramley push`: the push certificate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bramley.apple.push.topic import topic_of
from bramley.cli.arguments import read_file
from bramley.cli.session import ACTOR, Session
from bramley.cli.verbs import DryRunOption, Verb, noun
from bramley.errors import BadInput
from bramley.model.lineages import Version
from bramley.operations import push_certificate
from bramley.operations.installation import Installation
from bramley.pki import certificates, keys

app = noun("The push certificate.")

_LARGEST = 64 * 1024


@app.command("import", cls=Verb)
def import_(
    ctx: typer.Context,
    certificate: Annotated[Path, typer.Option(metavar="FILE", help="The certificate from identity.apple.com, PEM or DER.")],
    key: Annotated[Path, typer.Option(metavar="FILE", help="The private key of its request: PEM, encrypted or not.")],
    password_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file whose first line is the key's password.")
    ] = None,
    dry_run: DryRunOption = False,
) -> None:
    """Put a push certificate in force. One whose topic is not the enrolled devices' is refused: it would lose them all."""
    session = Session(ctx)
    found = _certificate(read_file(certificate, "certificate file", most=_LARGEST))
    password = _first_line(read_file(password_file, "password file", most=_LARGEST)) if password_file else None
    private = private_key(read_file(key, "key file", most=_LARGEST), password)
    topic = topic_of(found)

    async def put(installation: Installation) -> Version | None:
        return await push_certificate.import_pair(installation, found, private, actor=ACTOR, dry_run=dry_run)

    version = session.run(put)
    if session.output.as_json:
        session.output.json(
            {
                "dry_run": dry_run,
                "id": version.id if version else None,
                "topic": topic,
                "not_after": found.not_valid_after_utc,
                "sha256": certificates.sha256(found),
            }
        )
        return
    done = "could be imported; nothing was changed" if dry_run else "is in force"
    session.output.line(f"The push certificate of {topic} {done}. It ends on {found.not_valid_after_utc:%Y-%m-%d}.")
    session.output.remark("Note the Apple Account it was made with: only that account can renew it.")


def private_key(pem: bytes, password: bytes | None) -> keys.PrivateKey:
    """A private key as people keep it: PEM, PKCS#1, SEC 1 or PKCS#8, encrypted or not. BadInput for anything else."""
    try:
        key = load_pem_private_key(pem, password)
    except TypeError:  # what cryptography raises for a password missing, or given in vain
        if password is None:
            raise BadInput("The private key is encrypted.", advice="Give its password by --password-file.") from None
        raise BadInput(
            "The private key is not encrypted, but a password was given.", advice="Leave --password-file out."
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise BadInput(
            "Expected a private key in PEM (and its right password); what came cannot be read.",
            advice="It begins with -----BEGIN PRIVATE KEY-----, BEGIN RSA PRIVATE KEY or BEGIN ENCRYPTED PRIVATE KEY.",
        ) from None
    if not isinstance(key, keys.PrivateKey):
        raise BadInput(f"Expected an RSA or EC private key; this one is {type(key).__name__}.")
    keys.require_strong(key.public_key())
    return key


def _certificate(data: bytes) -> x509.Certificate:
    """The certificate of a file; the first where the file holds a chain."""
    return certificates.load_chain(data)[0] if b"-----BEGIN" in data else certificates.load(data)


def _first_line(data: bytes) -> bytes:
    return data.split(b"\n", 1)[0].rstrip(b"\r")
