"""A profile that an operator sends by hand, made ready as a kept one is: checked, variables filled in, and signed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from bramley.mdm.commands import InstallProfile, Raw, Request
from bramley.model.enrollments import Enrollment
from bramley.model.profiles import Handling
from bramley.operations import authorities, devices, signers
from bramley.operations.errors import Invalid
from bramley.operations.identities import device_of
from bramley.operations.installation import Installation
from bramley.operations.profiles import making
from bramley.operations.profiles.acceptance import accept
from bramley.operations.profiles.making import Recipe
from bramley.operations.server_certificates import Pair
from bramley.profiles import documents
from bramley.profiles.documents import DocumentKind
from bramley.profiles.rules import Finding
from bramley.storage.protocols import Tx


@dataclass(frozen=True, slots=True)
class Ready:
    """The request as it is to be queued; `findings` in its profile are worth knowing."""

    request: Request
    findings: tuple[Finding, ...] = ()


async def prepare(installation: Installation, device: str, request: Request, *, as_is: bool) -> Ready:
    """An InstallProfile with a profile that its device can take, signed by the chosen signer; any other request as it is.

    A profile that comes signed or encrypted is checked, and not changed. With `as_is` none is looked at: Invalid where the
    request is no InstallProfile. Raises BadProfile for what is no profile, and for a signature that does not hold; what `accept`
    raises; MissingVariable; NotReady and CannotSign where the signer is missing or may not sign now; NotFound.
    """
    if request.request_type != InstallProfile.request_type:
        if as_is:
            raise Invalid(f"Expected InstallProfile for a profile that is sent as it is; {request.request_type[:80]} came.")
        return Ready(request)
    command = request.to_plist()
    payload = command.get("Payload")
    if as_is or not isinstance(payload, bytes):
        return Ready(request)
    # elsewhere: a profile may hold archives whose passwords are made costly to try
    document = await asyncio.to_thread(documents.read, payload)
    now = installation.clock.now()
    findings = await asyncio.to_thread(accept, document, now)
    message = document.raw
    if document.kind is DocumentKind.PLAIN:
        channel, owner, signer = await installation.store.read(lambda tx: _found(tx, installation, device))
        values = making.values_for(owner, installation.settings.organization, channel=channel)
        recipe = Recipe(document.raw, Handling.SIGN, values)
        message = await asyncio.to_thread(making.make, recipe, signer, now)
    return Ready(Raw(request.request_type, {**command, "Payload": message}), findings)


def _found(tx: Tx, installation: Installation, device: str) -> tuple[Enrollment, Enrollment, Pair]:
    channel, sealer = devices.resolve(tx, device), installation.sealer
    pair = signers.load(tx, sealer, authorities.load(tx, sealer), signers.chosen(tx))
    return channel, device_of(tx, channel), pair
