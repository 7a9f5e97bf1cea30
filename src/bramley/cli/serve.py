"""`bramley serve`: the server itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer
import uvloop

from bramley.cli import logs
from bramley.cli.arguments import Address, address
from bramley.cli.output import Output
from bramley.cli.session import Session
from bramley.cli.signals import stop_event
from bramley.cli.verbs import Verb, sole
from bramley.clock import SystemClock
from bramley.model.kinds import Kind
from bramley.model.lineages import VersionState
from bramley.operations import certificates
from bramley.operations.installation import FirstStart, Installation, open_or_initialize
from bramley.settings import Settings
from bramley.web.service import Service, serve_until

app = sole("Start the server; the first start makes the installation.")

_ADDRESS = "HOST:PORT"


@app.command("serve", cls=Verb)
def serve(
    ctx: typer.Context,
    listen: Annotated[
        Address | None, typer.Option(parser=address, metavar=_ADDRESS, help="Where to listen; by default 0.0.0.0:8443.")
    ] = None,
    device_listen: Annotated[
        Address | None,
        typer.Option(parser=address, metavar=_ADDRESS, help="Also listen here for devices that show a TLS client certificate."),
    ] = None,
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="The public base URL; fixed at the first start, since devices keep it.")
    ] = None,
) -> None:
    """Serve until SIGTERM or Ctrl-C.

    The first start makes the data folder, the key that seals all secrets, the authorities and an API token, and shows what
    must be kept: once.
    """
    session = Session(ctx)
    settings = session.settings(
        listen=asdict(listen) if listen else None, device_listener=asdict(device_listen) if device_listen else None, url=url
    )
    logs.configure(settings.log)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(session, settings))


async def _serve(session: Session, settings: Settings) -> None:
    stop = stop_event()
    installation, first = await session.patiently(open_or_initialize(settings, SystemClock()), "opening the installation…")
    try:
        if first is not None:
            await _show_first_start(session.output, installation, first)
        service = await Service.start(installation)
    except BaseException:
        await installation.store.close()
        raise
    try:
        await _show_listening(session.output, service)
    except BaseException:
        await service.stop()
        raise
    await serve_until(service, stop)


async def _show_first_start(output: Output, installation: Installation, first: FirstStart) -> None:
    rows = await certificates.listing(installation, kind=Kind.ROOT_CA, states=[VersionState.ACTIVE])
    root = rows[0].version.sha256
    if output.as_json:
        output.json(
            {
                "event": "first-start",
                "data": first.folder,
                "url": installation.url,
                "recovery_copy": first.recovery_copy,
                "admin_token": first.admin_token,
                "root_ca_sha256": root,
            }
        )
        return
    output.remark(f"A new installation in {first.folder}, to be reached at {installation.url} (which cannot change later).")
    if first.recovery_copy:
        output.remark(f"Recovery copy of the sealing key: {first.recovery_copy}")
        output.remark("  Move it off this machine now. With both it and the sealing key lost, every device must enroll again.")
    output.remark(f"API token, shown this once: {first.admin_token}")
    output.remark(f"Root CA, SHA-256: {root}")


async def _show_listening(output: Output, service: Service) -> None:
    installation, main, device = service.live.installation, service.main, service.device
    missing = _missing(service)
    if output.as_json:
        output.json(
            {
                "event": "listening",
                "url": installation.url,
                "main": asdict(main) if main else None,
                "device": asdict(device) if device else None,
                "missing": missing,
            }
        )
        return
    where = ", ".join(f"{found.host}:{found.port}" for found in (main, device) if found)
    output.remark(f"Serving {installation.url} (listening on {where}).")
    for line in missing:
        output.remark(line)


def _missing(service: Service) -> Sequence[str]:
    if service.live.current().pushes:
        return []
    return ["There is no push certificate yet, so no device can enroll: `bramley push start` shows the ways to one."]
