"""The stand-in for Apple's push service, with its certificates as files: it is the same Apple after a restart."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bramley.cli.arguments import read_file
from bramley.cli.output import Output
from bramley.cli.signals import stop_event
from bramley.clock import SystemClock
from bramley.errors import BadInput, OutsideTrouble
from bramley.pki import certificates, keys
from bramley.pki.pairs import read_key
from bramley.sandbox.apns import APNs
from bramley.sandbox.apple_ca import SandboxAppleCA, new_topic

_LARGEST = 64 * 1024


@dataclass(frozen=True, slots=True)
class Issued:
    """A push certificate on disk: its chain and its key, both PEM."""

    topic: str
    certificate: Path
    key: Path


async def serve(
    output: Output, folder: Path, where: tuple[str, int, int], push_certificate: Path | None, topic: str | None
) -> None:
    """Stands in until asked to end. `where` is the host, the port for pushes and the port for devices."""
    stop, clock = stop_event(), SystemClock()
    ca = open_ca(folder, clock.now())
    apns = APNs(ca, clock)
    host, port, courier_port = where
    try:
        await apns.start(host, port, courier_port=courier_port)
    except OSError as error:
        raise OutsideTrouble(
            f"Cannot listen on {host} port {port} or {courier_port}: {error.strerror}.",
            advice="--port and --courier-port name others.",
        ) from None
    try:
        issued = issue_push_certificate(ca, push_certificate, topic=topic, now=clock.now()) if push_certificate else None
        _announce(output, apns, host, (folder / "ca.pem").absolute(), issued)
        await stop.wait()
    finally:
        await apns.stop()


def _announce(output: Output, apns: APNs, host: str, ca_file: Path, issued: Issued | None) -> None:
    if output.as_json:
        output.json(
            {
                "event": "listening",
                "host": host,
                "port": apns.port,
                "courier_port": apns.courier_port,
                "ca_file": ca_file,
                "topic": issued.topic if issued else None,
                "certificate": issued.certificate if issued else None,
                "key": issued.key if issued else None,
            }
        )
        return
    output.line(f"Pushes: {host}:{apns.port}. Devices: --courier {host}:{apns.courier_port}.")
    output.line("Start the server with")
    output.line(f"  BRAMLEY_PUSH_HOST={host} BRAMLEY_PUSH_PORT={apns.port} BRAMLEY_PUSH_CA_FILE={ca_file}")
    if issued:
        output.line(f"Push certificate of {issued.topic}:")
        output.line(f"  bramley push import {issued.certificate} {issued.key}")


def open_ca(folder: Path, now: datetime) -> SandboxAppleCA:
    """The CAs kept in a folder; made, with `ca.pem` for whoever is to trust them, where there are none.

    Their keys stand there in clear (0600): they are worth nothing outside a sandbox.
    """
    root, root_key = folder / "ca.pem", folder / "ca.key"
    intermediate, intermediate_key = folder / "intermediate.pem", folder / "intermediate.key"
    if intermediate_key.exists():  # written last, so the others are there
        found, between = (certificates.load(read_file(file, "certificate", most=_LARGEST)) for file in (root, intermediate))
        key, key_between = (read_key(read_file(file, "key", most=_LARGEST), None) for file in (root_key, intermediate_key))
        return SandboxAppleCA(found, key, between, key_between)
    ca = SandboxAppleCA.make(now)
    _write(root, ca.root_pem)
    _write(root_key, _pem(ca.root_key))
    _write(intermediate, certificates.pem(ca.intermediate))
    _write(intermediate_key, _pem(ca.intermediate_key))
    return ca


def issue_push_certificate(ca: SandboxAppleCA, folder: Path, *, topic: str | None, now: datetime) -> Issued:
    """A push certificate as Apple issues it, in two new files."""
    key = keys.generate(keys.KeyAlgorithm.RSA_2048)
    issued = Issued(topic or new_topic(), folder / "push.pem", folder / "push.key")
    certificate = ca.issue_push_certificate(key.public_key(), topic=issued.topic, now=now)
    _write(issued.key, _pem(key))
    _write(issued.certificate, ca.chain_pem(certificate))
    return issued


def _pem(key: keys.PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(path: Path, content: bytes) -> None:
    """A new file for its owner only. BadInput where something is in the way."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(content)
    except (FileExistsError, NotADirectoryError):
        raise BadInput(f"{path} cannot be written: something is in the way.", advice="Name another folder.") from None
    except OSError as error:
        raise OutsideTrouble(f"{path} cannot be written: {error.strerror}.", advice="Name another folder.") from None
