"""Whose turn it is with a certificate, and what they have to do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from bramley.lifecycle import schedule
from bramley.model.kinds import OF_DEVICES, Kind
from bramley.model.lineages import Lineage, Turn, Version
from bramley.model.lineages import VersionState as S
from bramley.model.networks import FROM_TEMPLATES
from bramley.model.push import Route

OWN = frozenset({Kind.HTTPS, Kind.PROFILE_SIGNER, Kind.OCSP_RESPONDER, Kind.SCEP_RA})
"""What the server replaces by itself, alone; but for what was imported: see `is_own`."""

IMPORTED = "imported"
"""The route of a lineage whose versions a person brings in with their keys."""

_IMPORT = {
    Kind.PROFILE_SIGNER: " by `bramley profile signer import`",
    Kind.PACKAGE_SIGNER: " by `bramley profile package-signer import`",
}


class Mover(StrEnum):
    """Who has to act next."""

    SERVER = "server"
    HUMAN = "human"
    DEVICE = "device"
    APPLE = "apple"
    CA = "ca"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class NextStep:
    """The next step: who takes it, what it is, and the moment it is bound to, where it is bound to one."""

    mover: Mover
    text: str
    at: datetime | None = None


_TURNS = {Turn.APPLE: Mover.APPLE, Turn.HUMAN: Mover.HUMAN, Turn.DEVICE: Mover.DEVICE, Turn.CA: Mover.CA}


def is_own(lineage: Lineage) -> bool:
    """Whether the server replaces the versions of this lineage by itself, alone."""
    return lineage.kind in OWN and lineage.route != IMPORTED


def next_step(lineage: Lineage, version: Version, now: datetime, *, grace: timedelta) -> NextStep:
    """What happens to a version next. `grace` is how long a superseded device identity is still accepted."""
    if lineage.kind is Kind.PUSH and (step := _push(lineage, version, now)) is not None:
        return step
    if lineage.kind is Kind.IDENTITY_CA and (step := _identity_ca(lineage, version, now)) is not None:
        return step
    match version.state:
        case S.PLANNED:
            return NextStep(Mover.SERVER, "to be requested")
        case S.REQUESTED:
            return NextStep(Mover.CA, "requested; waits for the certificate")
        case S.AWAITING:
            mover = _TURNS[version.turn] if version.turn else Mover.CA
            return NextStep(mover, f"waits for {_NAMES[mover]}")
        case S.SUSPENDED:
            return NextStep(Mover.HUMAN, "suspended; reinstate it or revoke it")
        case S.SUPERSEDED:
            return _superseded(lineage, version, grace)
        case S.RETIRED | S.REVOKED | S.FAILED:
            return NextStep(Mover.NOBODY, f"{version.state}: {version.reason}" if version.reason else str(version.state))
    if version.expired(now):
        return _expired(lineage, version)
    if version.state is not S.ACTIVE:
        return NextStep(Mover.DEVICE, "waits for its first use")
    return _active(lineage, version, now)


def _push(lineage: Lineage, version: Version, now: datetime) -> NextStep | None:
    """A push certificate: nearly every step is a person's, and the words matter more than anywhere else."""
    match version.state:
        case S.PLANNED if lineage.route == Route.MDMCERT:
            return NextStep(Mover.HUMAN, "key made; `bramley push mdmcert request` sends the request to be signed")
        case S.PLANNED:
            return NextStep(Mover.HUMAN, "key made; `bramley push sign` makes the file for identity.apple.com of the request")
        case S.REQUESTED:
            return NextStep(Mover.HUMAN, "waits for the mail of mdmcert.download: `bramley push mdmcert decrypt` opens it")
        case S.AWAITING:
            return NextStep(Mover.HUMAN, f"{at_apple(lineage)}. Then `bramley push import` the certificate")
        case S.ISSUED:
            return NextStep(Mover.SERVER, "on trial; in force once it has pushed with success, until then the former is")
        case S.ACTIVE if version.expired(now):
            text = f"expired; devices come back once it is renewed. {_renewal(lineage)}"
            return NextStep(Mover.HUMAN, text, version.not_after)
        case S.ACTIVE if due := schedule.due_at(version, lineage.policy):
            when = "due now" if now >= due else f"in force; to be renewed from {_day(due)}"
            return NextStep(Mover.HUMAN, f"{when}. {_renewal(lineage)}", due)
    return None


def _identity_ca(lineage: Lineage, version: Version, now: datetime) -> NextStep | None:
    """The identity CA: a person begins its rollover, and the server carries it through."""
    match version.state:
        case S.PLANNED:
            text = (
                "key made; have the request certified by your CA, then `bramley identity ca import` the certificate and its chain"
            )
            return NextStep(Mover.HUMAN, text)
        case S.ISSUED:
            return NextStep(Mover.SERVER, "prepared; to be trusted beside the one in force")
        case S.DISTRIBUTED:
            return NextStep(Mover.SERVER, "trusted beside the one in force; issues next")
        case S.SUPERSEDED:
            return NextStep(Mover.SERVER, "superseded; withdrawn once no identity needs it", version.not_after)
        case S.ACTIVE if not version.expired(now) and (due := schedule.due_at(version, lineage.policy)):
            begin = "`bramley identity ca rollover --new-key` begins, with --dry-run it only tells"
            if now >= due:
                return NextStep(Mover.HUMAN, f"roll over: it ends before what it issues would. {begin}", due)
            return NextStep(Mover.HUMAN, f"in force; to be rolled over from {_day(due)}. {begin}", due)
    return None


def at_apple(lineage: Lineage) -> str:
    """What to do at identity.apple.com with a signed request, in the words of its page."""
    account = f"signed in as {lineage.owner}" if lineage.owner else "signed in with the Apple Account that made it"
    if lineage.name.startswith("new:"):
        return f"At identity.apple.com/pushcert, {account}, choose Create and upload the request file"
    return f"At identity.apple.com/pushcert, {account}, choose Renew, not Create, for the certificate of {lineage.name}"


def _renewal(lineage: Lineage) -> str:
    """How a renewal begins, by the route that the certificate came by."""
    if lineage.route == Route.PROFILE_MANAGER:
        return "Renew it on the Mac with Server.app that it was exported from, export it again and `bramley push import` it"
    return f"`bramley push request` begins. {at_apple(lineage)}"


def _superseded(lineage: Lineage, version: Version, grace: timedelta) -> NextStep:
    if lineage.kind not in OF_DEVICES:
        return NextStep(Mover.NOBODY, "superseded")
    at = version.changed_at + grace
    return NextStep(Mover.SERVER, f"superseded; retires on {_day(at)}", at)


def _expired(lineage: Lineage, version: Version) -> NextStep:
    at = version.not_after
    if is_own(lineage):
        return NextStep(Mover.SERVER, "expired; replaced at the next start or within 12 hours", at)
    if lineage.kind in FROM_TEMPLATES:
        return NextStep(Mover.DEVICE, "expired; waits for the device, which is sent the next one as long as it is active", at)
    if lineage.kind is Kind.DEVICE_IDENTITY:
        return NextStep(Mover.HUMAN, "expired; `bramley identity rescue` says what helps", at)
    return NextStep(Mover.HUMAN, f"expired; replace it{_IMPORT.get(lineage.kind, '')}", at)


def _active(lineage: Lineage, version: Version, now: datetime) -> NextStep:
    due = schedule.due_at(version, lineage.policy)
    if due is None:
        return NextStep(Mover.NOBODY, "in force; has no end")
    overdue = now >= due
    if is_own(lineage):
        text = "due; replaced at the next start or within 12 hours" if overdue else f"renews itself on {_day(due)}"
        return NextStep(Mover.SERVER, text, due)
    if lineage.kind in OF_DEVICES:
        if overdue:
            return NextStep(Mover.DEVICE, f"renewal is due since {_day(due)}; waits for the device", due)
        return NextStep(Mover.SERVER, f"renews itself on {_day(due)}", due)
    when = "now" if overdue else f"from {_day(due)}"
    return NextStep(Mover.HUMAN, f"to be replaced {when}{_IMPORT.get(lineage.kind, '')}", due)


_NAMES = {
    Mover.SERVER: "the server",
    Mover.HUMAN: "a person",
    Mover.DEVICE: "the device",
    Mover.APPLE: "Apple",
    Mover.CA: "the certificate authority",
    Mover.NOBODY: "nobody",
}


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"
