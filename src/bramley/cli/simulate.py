"""`bramley simulate`: simulated devices against any MDM server, and stand-ins for Apple's services and mdmcert.download."""

from __future__ import annotations

import asyncio
import random
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509

from bramley.cli import fleet, simulate_mdmcert, simulate_portals, stand_in
from bramley.cli.arguments import Address, address, read_file
from bramley.cli.session import Session
from bramley.cli.verbs import Verb, noun
from bramley.clock import SystemClock
from bramley.errors import BadInput
from bramley.pki import certificates
from bramley.pki.keys import KeyAlgorithm
from bramley.sandbox.apns import NetworkCourier
from bramley.sandbox.device import Behaviour, DeviceIdentity, Patience, SignatureStyle, SimulatedDevice, UserAccount

app = noun("Simulated devices, and stand-ins for Apple's services.")

POLL_SECONDS = 5.0
_LARGEST = 1024 * 1024


@app.command("device", cls=Verb)
def device(
    ctx: typer.Context,
    urls: Annotated[list[str], typer.Argument(metavar="URL", help="Where enrollment profiles are; taken in turn.")],
    count: Annotated[int, typer.Option(min=0, max=10_000, help="How many devices; 0: one for each URL.")] = 0,
    ca: Annotated[Path | None, typer.Option(metavar="FILE", help="Root CA certificates to trust, PEM or DER.")] = None,
    style: Annotated[SignatureStyle, typer.Option(help="How they identify themselves.")] = SignatureStyle.APPLE,
    device_url: Annotated[
        str | None, typer.Option(metavar="URL", help="With --style tls: scheme, host and port of the listener for devices.")
    ] = None,
    courier: Annotated[
        Address | None, typer.Option(parser=address, metavar="HOST:PORT", help="The stand-in's courier; else they poll.")
    ] = None,
    not_now: Annotated[float, typer.Option(min=0, max=0.95, metavar="RATE", help="How often they answer NotNow.")] = 0.0,
    seconds: Annotated[int | None, typer.Option("--for", min=0, metavar="SECONDS", help="How long; else until Ctrl-C.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed makes the same devices.")] = None,
    patience: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="How long they try an absent server.")] = 30.0,
    users: Annotated[int, typer.Option(min=0, max=10, help="How many managed users each Mac among them has.")] = 0,
    hardware_keys: Annotated[
        bool, typer.Option("--hardware-keys", help="Identities on a curve (P-256), as keys in hardware are.")
    ] = False,
    allow_unsigned: Annotated[bool, typer.Option("--allow-unsigned", help="Take an unsigned enrollment profile.")] = False,
) -> None:
    """Enroll simulated devices with any MDM server and have them answer commands.

    They do as Apple's client does: check the profile's signature, get an identity by SCEP, check in, answer after a push.
    Exits 1 if one of them could not enroll.
    """
    session = Session(ctx)
    if (style is SignatureStyle.TLS) != (device_url is not None):
        raise BadInput("--style tls and --device-url go together: devices that show a certificate need the listener for it.")
    for url in (*urls, *([device_url] if device_url else [])):
        if not url.startswith("https://"):
            raise BadInput(f"Expected a URL that begins with https://; found {url!r}.")
    behaviour = Behaviour(
        style=style,
        tls_base=device_url,
        anchors=_anchors(ca),
        allow_unsigned=allow_unsigned,
        not_now_rate=not_now,
        patience=Patience(whole=patience),
        poll_seconds=None if courier else POLL_SECONDS,
        hardware_key=KeyAlgorithm.P_256 if hardware_keys else None,
    )
    chance = random.Random(secrets.randbits(64) if seed is None else seed)  # noqa: S311 - a simulation, not secrets
    members = [
        fleet.Member(_device(chance, behaviour, users, courier), urls[index % len(urls)]) for index in range(count or len(urls))
    ]
    asyncio.run(fleet.run(session.output, members, seconds))
    fleet.show(session.output, members)
    if any(member.error for member in members):
        raise typer.Exit(1)


@app.command("apns", cls=Verb)
def apns(
    ctx: typer.Context,
    folder: Annotated[
        Path, typer.Option(metavar="DIR", help="Where its CA is kept, with ca.pem for whoever is to trust it.")
    ] = Path("apple-stand-in"),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port for pushes; 0 takes a free one.")] = 2197,
    courier_port: Annotated[int, typer.Option(min=0, max=65535, help="Port for devices; 0 takes a free one.")] = 2198,
    push_certificate: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also issue a push certificate: push.pem and push.key in this folder.")
    ] = None,
    topic: Annotated[str | None, typer.Option(help="Its topic, as for a renewal; by default a new one.")] = None,
) -> None:
    """Stand in for Apple's push service until SIGTERM or Ctrl-C, with Apple's rules, words and statuses."""
    session = Session(ctx)
    if topic and push_certificate is None:
        raise BadInput("--topic is for the push certificate.", advice="Add --push-certificate DIR.")
    asyncio.run(stand_in.serve(session.output, folder, (host, port, courier_port), push_certificate, topic))


app.add_typer(simulate_portals.portal, name="portal")
app.command("mdmcert", cls=Verb)(simulate_mdmcert.mdmcert)


def _device(chance: random.Random, behaviour: Behaviour, users: int, courier: Address | None) -> SimulatedDevice:
    device = DeviceIdentity.make(chance, mac=chance.random() < 0.5)
    accounts = tuple(UserAccount.make(chance) for _ in range(users if device.is_mac else 0))
    reached = NetworkCourier(courier.host, courier.port) if courier else None
    return SimulatedDevice(device, SystemClock(), behaviour=replace(behaviour, users=accounts), courier=reached)


def _anchors(ca: Path | None) -> tuple[x509.Certificate, ...]:
    """The certificates of a file, PEM or DER; none without a file: the machine's roots are trusted then."""
    if ca is None:
        return ()
    data = read_file(ca, "CA file", most=_LARGEST)
    return certificates.load_chain(data) if b"-----BEGIN" in data else (certificates.load(data),)
