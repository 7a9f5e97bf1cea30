"""Templates of network identities, as this server keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bramley.model.events import Event, EventKind
from bramley.model.networks import RECIPIENT, NetworkTemplate
from bramley.operations.errors import Conflict, NotFound
from bramley.operations.installation import Installation
from bramley.pki.keystore import Place, Sealer
from bramley.profiles import network_profile
from bramley.profiles.network import PROFILE_RECIPIENT, Template
from bramley.profiles.network_reading import read
from bramley.storage.protocols import Tx


@dataclass(frozen=True, slots=True)
class Kept:
    """A template as it is kept, what it says, how many devices shall have an identity after it, and whether it is news."""

    stored: NetworkTemplate
    template: Template
    devices: int
    changed: bool = False


async def put(installation: Installation, data: bytes, *, actor: str) -> Kept:
    """Keeps the template in a TOML file, in the place of the one of its name; devices hear of it with their next renewal.

    Raises BadTemplate, which names the key.
    """
    now = installation.clock.now()
    template = read(data)
    network_profile.check(template)

    def act(tx: Tx) -> Kept:
        known, devices = tx.networks.template(template.name), tx.networks.count(template.name)
        if known is not None and installation.sealer.open(known.content, _place(known.name)) == data:
            return Kept(known, template, devices)
        sealed = installation.sealer.seal(data, _place(template.name))
        created = known.created_at if known else now
        stored = NetworkTemplate(template.name, template.use, template.issuer, sealed, created, now, actor)
        tx.networks.put_template(stored)
        detail = {"template": stored.name, "use": stored.use, "issuer": stored.issuer}
        tx.events.append(Event(now, EventKind.NETWORK_TEMPLATE_KEPT, actor, detail=detail))
        return Kept(stored, template, devices, changed=True)

    return await installation.store.run(act)


async def remove(installation: Installation, name: str, *, actor: str) -> NetworkTemplate:
    """Takes a template off the record. NotFound; Conflict while devices shall have an identity after it."""
    now = installation.clock.now()

    def act(tx: Tx) -> NetworkTemplate:
        found = find(tx, name)
        devices = tx.networks.count(name)
        if devices:
            raise Conflict(
                f"{devices} device(s) have an identity after {name}, or shall have one.",
                advice="`bramley network unassign` takes it away from them first.",
            )
        tx.networks.remove_template(name)
        tx.events.append(Event(now, EventKind.NETWORK_TEMPLATE_REMOVED, actor, detail={"template": name}))
        return found

    return await installation.store.run(act)


async def show(installation: Installation, name: str) -> Kept:
    """One template. NotFound."""
    return await installation.store.read(lambda tx: _kept(tx, installation.sealer, find(tx, name)))


async def listing(installation: Installation) -> Sequence[Kept]:
    """All of them, in order of name."""
    return await installation.store.read(lambda tx: [_kept(tx, installation.sealer, each) for each in tx.networks.templates()])


def find(tx: Tx, name: str) -> NetworkTemplate:
    """A template as it rests. NotFound."""
    found = tx.networks.template(name)
    if found is None:
        raise NotFound(f"There is no template {name[:80]!r}.", advice="`bramley network template list` shows what there is.")
    return found


def require(tx: Tx, name: str) -> None:
    """NotFound where there is no such template: neither a kept one, nor the one that is always there."""
    if name != RECIPIENT:
        find(tx, name)


def opened(tx: Tx, sealer: Sealer, name: str) -> Template:
    """What a template says. NotFound."""
    return PROFILE_RECIPIENT if name == RECIPIENT else _read(sealer, find(tx, name))


def _kept(tx: Tx, sealer: Sealer, found: NetworkTemplate) -> Kept:
    return Kept(found, _read(sealer, found), tx.networks.count(found.name))


def _read(sealer: Sealer, found: NetworkTemplate) -> Template:
    return read(sealer.open(found.content, _place(found.name)))


def _place(name: str) -> Place:
    """Where a template is sealed."""
    return Place("network-template", name, "content")
