"""What an attacker tries, how it is sent, and what counts as refused."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from bramley.pki import keys
from bramley.pki.errors import PKIError
from bramley.pki.scep.client import SCEPClient
from bramley.pki.scep.errors import Refused
from bramley.sandbox import signature
from bramley.sandbox.device import messages
from bramley.sandbox.device.identity import DeviceIdentity
from bramley.sandbox.device.messages import Message
from bramley.sandbox.device.profile import MDMSettings
from bramley.sandbox.device.transport import Call, Transport, at_listener
from bramley.sandbox.errors import SandboxError, ServerRefused, ServerUnreachable
from bramley.sandbox.signature import Identity, SignatureStyle

UNAUTHORIZED: Final = 401
"""The one refusal that is a defeat: it makes a genuine device remove its enrollment."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One thing tried: the way, after a comma or colon the variant of it, and in a few words what the server said."""

    description: str
    refused: bool
    answered: str

    @property
    def way(self) -> str:
        """What is tried, whatever the message, the style or the place."""
        return re.split(", |: ", self.description, maxsplit=1)[0]


class Try(NamedTuple):
    """A message worth sending, and what to call it."""

    name: str
    content_type: str
    message: Message


@dataclass(frozen=True, slots=True)
class Target:
    """A server under attack: its MDM settings, the listener for TLS identities (scheme, host, port) if there is one."""

    mdm: MDMSettings
    tls_base: str | None = None

    @property
    def styles(self) -> tuple[SignatureStyle, ...]:
        """The ways of identification that the server offers."""
        both = (SignatureStyle.APPLE, SignatureStyle.DER)
        return both if self.tls_base is None else (*both, SignatureStyle.TLS)

    def url(self, content_type: str) -> str:
        return self.mdm.check_in_url if content_type == messages.CHECK_IN_TYPE else self.mdm.server_url


def every_message(who: Message, device: DeviceIdentity, topic: str) -> Sequence[Try]:
    """Every message of the protocol in somebody's name, the destructive ones last."""
    command = str(uuid.uuid4()).upper()
    check_in, connect = messages.CHECK_IN_TYPE, messages.CONNECT_TYPE
    return (
        Try("Idle", connect, messages.idle(who)),
        Try("Acknowledged", connect, messages.report(who, command, "Acknowledged")),
        Try("NotNow", connect, messages.report(who, command, "NotNow")),
        Try("GetBootstrapToken", check_in, messages.get_bootstrap_token(who)),
        Try("SetBootstrapToken", check_in, messages.set_bootstrap_token(who, b"attacker's")),
        Try("TokenUpdate", check_in, messages.token_update(who, topic, b"\x66" * 32, "attacker's")),
        Try("Authenticate", check_in, messages.authenticate(who, device, topic)),
        Try("CheckOut", check_in, messages.check_out(who, topic)),
    )


async def try_all(
    transport: Transport, target: Target, tries: Sequence[Try], identity: Identity, description: str, now: datetime
) -> AsyncIterator[Attempt]:
    """Each message in each style that the server offers, signed or presented with one identity."""
    for style in target.styles:
        for name, content_type, message in tries:
            body = messages.encode(message)
            url = target.url(content_type)
            if style is SignatureStyle.TLS:
                await transport.present(identity)
                url = at_listener(url, target.tls_base)
            headers = signature.header(body, identity, style, now=now)
            yield await send(transport, url, content_type, body, headers, f"{description}: {name} ({style})")
            await transport.present(None)


async def send(
    transport: Transport, url: str, content_type: str, body: bytes, headers: dict[str, str], description: str
) -> Attempt:
    """One request. A handshake that the server ends is a refusal too, but only of a server that is still there."""
    try:
        answer = await transport.once(Call("PUT", url, body, content_type, headers))
    except ServerUnreachable as error:
        alive = await _listens(url)
        return Attempt(description, alive, "TLS handshake ended" if alive else f"no server: {error.message}")
    refused = not answer.good and answer.status != UNAUTHORIZED
    return Attempt(description, refused, f"HTTP {answer.status}")


async def try_scep(
    client: SCEPClient,
    csr_der: bytes,
    key: keys.PrivateKey,
    *,
    signer: Identity | None,
    renewal: bool,
    description: str,
    now: datetime,
) -> tuple[Attempt, Identity | None]:
    """One SCEP request, and the identity gained if it was not refused."""
    try:
        ca = (await client.ca_certificates())[0]
        given = None if signer is None else (signer.certificate, signer.key)
        issued = await client.enroll(key, csr_der, ca=ca, signer=given, renewal=renewal, now=now)
    except Refused as error:
        return Attempt(description, True, f"SCEP FAILURE: {error.message}"), None
    except ServerRefused as error:
        return Attempt(description, error.status != UNAUTHORIZED, f"HTTP {error.status}"), None
    except (PKIError, SandboxError) as error:
        return Attempt(description, False, f"no answer to judge: {error.message}"), None
    return Attempt(description, False, "SCEP SUCCESS"), Identity(issued[0], key)


async def _listens(url: str) -> bool:
    parts = urlsplit(url)
    try:
        _, writer = await asyncio.open_connection(parts.hostname, parts.port or 443)
    except OSError:
        return False
    writer.close()
    return True
