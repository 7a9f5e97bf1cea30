"""The stand-in for Apple's push service, with its certificates as files: it is the same Apple after a restart."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bramley.cli.arguments import write_new
from bramley.cli.output import Output
from bramley.cli.signals import stop_event
from bramley.clock import SystemClock
from bramley.errors import OutsideTrouble
from bramley.pki import keys
from bramley.sandbox import kept_files
from bramley.sandbox.apns import APNs
from bramley.sandbox.apple_ca import SandboxAppleCA, new_topic


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
    ca = SandboxAppleCA.load(folder, clock.now())
    ca.save(folder)
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
        output.line(f"  bramley push import {issued.certificate} --key {issued.key}")


def issue_push_certificate(ca: SandboxAppleCA, folder: Path, *, topic: str | None, now: datetime) -> Issued:
    """A push certificate as Apple issues it, in two new files."""
    key = keys.generate(keys.KeyAlgorithm.RSA_2048)
    issued = Issued(topic or new_topic(), folder / "push.pem", folder / "push.key")
    certificate = ca.issue_push_certificate(key.public_key(), topic=issued.topic, now=now)
    write_new(issued.key, kept_files.key_pem(key), make_folder=True)
    write_new(issued.certificate, ca.chain_pem(certificate))
    return issued
