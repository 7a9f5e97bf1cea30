"""`bramley simulate mdmcert`: a stand-in for mdmcert.download, whose mails become files."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bramley.cli.output import Output
from bramley.cli.session import Session
from bramley.cli.signals import stop_event
from bramley.clock import SystemClock
from bramley.errors import BramleyError, OutsideTrouble
from bramley.sandbox import kept_files
from bramley.sandbox.portals import AES_256, TRIPLE_DES, MdmcertServer, opened

PRODUCT = "bramley"
"""The program that the service gives a client key to."""


class Cipher(StrEnum):
    """What mdmcert.download encrypts with."""

    AES_256 = AES_256
    TRIPLE_DES = TRIPLE_DES


def mdmcert(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Option(metavar="DIR", help="Where the stand-in for Apple is kept.")] = Path("apple-stand-in"),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8444,
    address: Annotated[
        list[str] | None, typer.Option(metavar="MAIL", help="The mail address of a registered organization. Repeatable.")
    ] = None,
    cipher: Annotated[Cipher, typer.Option(help="What mails are encrypted with.")] = Cipher.AES_256,
    line_breaks: Annotated[bool, typer.Option("--line-breaks", help="Wrap the hexadecimal text of mails.")] = False,
    expired_vendor: Annotated[
        bool, typer.Option("--expired-vendor", help="Sign with a vendor certificate that has expired, as once happened.")
    ] = False,
) -> None:
    """Stand in for mdmcert.download until SIGTERM or Ctrl-C. What it mails becomes files in DIR/mail."""
    session = Session(ctx)
    with opened(folder, SystemClock()) as apple:
        for each in address or ():
            apple.mdmcert.register(each)
        if expired_vendor:
            apple.mdmcert.vendor.neglect()
        else:
            apple.mdmcert.vendor.attend()
        client_key = apple.mdmcert.client_key(PRODUCT)
        server = MdmcertServer(apple.ca, _Desk(session.output, folder, cipher, line_breaks).answer)
    asyncio.run(_serve(session.output, server, (host, port), folder, client_key))


@dataclass(frozen=True, slots=True)
class _Desk:
    """Answers requests with what the folder holds at that moment, and keeps what they change."""

    output: Output
    folder: Path
    cipher: Cipher
    line_breaks: bool

    def answer(self, body: bytes) -> Mapping[str, str]:
        try:
            with opened(self.folder, SystemClock()) as apple:
                service = apple.mdmcert
                service.cipher, service.line_breaks = self.cipher.value, self.line_breaks
                before = service.every_mail()
                said = service.answer(body)
                for mail in service.every_mail():
                    if mail not in before:
                        kept_files.write_once(self.folder / "mail" / mail.filename, mail.body.encode())
                return said
        except BramleyError as error:
            self.output.remark(str(error))
            return {"result": "failure", "reason": "The service is out of order."}


async def _serve(output: Output, server: MdmcertServer, where: tuple[str, int], folder: Path, client_key: str) -> None:
    stop = stop_event()
    host, port = where
    try:
        await server.start(host, port, certificate_from=SystemClock().now())
    except OSError as error:
        raise OutsideTrouble(f"Cannot listen on {host} port {port}: {error.strerror}.", advice="--port names another.") from None
    try:
        ca_file, mail = (folder / "ca.pem").absolute(), (folder / "mail").absolute()
        if output.as_json:
            output.json({"event": "listening", "url": server.url, "ca_file": ca_file, "client_key": client_key, "mail": mail})
        else:
            output.line(f"Signs at {server.url}; trust {ca_file}.")
            output.line(f"The client key of {PRODUCT}: {client_key}")
            output.line(f"Mails go to {mail}.")
        await stop.wait()
    finally:
        await server.stop()
