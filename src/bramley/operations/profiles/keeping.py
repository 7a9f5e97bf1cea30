"""Profiles as this server keeps them: uploaded or built, replaced by identifier, removed."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bramley.model import ids
from bramley.model.events import Event, EventKind
from bramley.model.jobs import Job
from bramley.model.profiles import Assignment, Handling, Installation, InstallState, ProfileID, Scope, StoredProfile
from bramley.operations import former_profiles
from bramley.operations.errors import Conflict, Invalid, NotFound
from bramley.operations.installation import Installation as Here
from bramley.operations.profiles.acceptance import accept
from bramley.pki.keystore import Place
from bramley.profiles import documents, variables
from bramley.profiles.documents import Document, DocumentKind
from bramley.profiles.rules import Finding
from bramley.storage.protocols import Tx

FAN_OUT: Final = "profile-changed"
"""The job that has every device looked after that a profile concerns; its argument is `profile_id`."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A profile as it is kept now, whether that is news, and what deserves a look."""

    profile: StoredProfile
    changed: bool
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Overview:
    """A profile, who shall have it, and on how many devices it stands how."""

    profile: StoredProfile
    assignments: Sequence[Assignment]
    counts: dict[InstallState, int]


async def put(here: Here, data: bytes, *, name: str | None = None, encrypt: bool | None = None, actor: str) -> Kept:
    """Keeps a profile, in the place of the one of its identifier; devices that have the former get the new one.

    A signed or encrypted one is kept, and goes out, as it is. Without a word on `encrypt` what was encrypted stays so. Raises
    BadProfile for what is no profile or breaks a rule, and Invalid where a rule is ours: an MDM payload; an identifier that this
    server or a former MDM's enrollment profile has, or that cannot be read; `encrypt` for what goes out as it is; and, unless
    `encrypt` is False, what would go out in clear in the place of what did not.
    """
    now = here.clock.now()
    # elsewhere: a profile may hold archives whose passwords are made costly to try
    document = await asyncio.to_thread(documents.read, data)
    identifier, findings = _identifier(document), await asyncio.to_thread(accept, document, now)
    scope = _scope(document)
    sha256 = hashlib.sha256(document.raw).hexdigest()

    def act(tx: Tx) -> Kept:
        if identifier in former_profiles.identifiers(tx, here.sealer):
            raise Invalid(
                f"Devices of a former MDM are managed by a profile of the identifier {identifier}: this one would take its "
                "place, and so end their management.",
                advice="Give the profile another PayloadIdentifier.",
            )
        known = tx.profiles.by_identifier(identifier)
        encrypted = encrypt is None and known is not None and _is_encrypted(here, known)
        handling = _handling(document, encrypt=encrypt, encrypted=encrypted)
        title = name or (known.name if known else document.display_name or identifier)
        if known is not None and (known.sha256, known.handling, known.name, known.scope) == (sha256, handling, title, scope):
            return Kept(known, changed=False, findings=findings)
        profile_id = known.id if known else ProfileID(ids.fresh(now))
        profile = StoredProfile(
            id=profile_id,
            identifier=identifier,
            name=title,
            revision=known.revision + 1 if known else 1,
            handling=handling,
            content=here.sealer.seal(document.raw, content_place(profile_id)),
            sha256=sha256,
            created_at=known.created_at if known else now,
            changed_at=now,
            changed_by=actor,
            scope=scope,
        )
        if known is None:
            tx.profiles.add(profile)
        else:
            tx.profiles.update(profile)
            fan_out(tx, profile.id, now)
        detail = {"profile": profile.identifier, "revision": profile.revision, "sha256": sha256, "handling": handling}
        tx.events.append(Event(now, EventKind.PROFILE_KEPT, actor, detail=detail))
        return Kept(profile, changed=True, findings=findings)

    return await here.store.run(act)


async def remove(here: Here, name: str, *, actor: str) -> StoredProfile:
    """Takes a profile off the record. Conflict while a device has it or shall have it: unassign it, and let them remove it."""
    now = here.clock.now()

    def act(tx: Tx) -> StoredProfile:
        profile = find(tx, name)
        standing = sum(tx.profiles.count(profile.id).values())
        if tx.profiles.assignments(profile.id) or standing:
            raise Conflict(
                f"{profile.identifier} is assigned, or on {standing} device(s).",
                advice="`bramley profile unassign` takes it away from them; remove it here once it is gone.",
            )
        tx.profiles.delete(profile.id)
        detail = {"profile": profile.identifier, "revision": profile.revision}
        tx.events.append(Event(now, EventKind.PROFILE_REMOVED, actor, detail=detail))
        return profile

    return await here.store.run(act)


async def listing(here: Here) -> Sequence[Overview]:
    """All profiles, in order of identifier."""
    return await here.store.read(lambda tx: [_overview(tx, profile) for profile in tx.profiles.listing()])


async def show(here: Here, name: str) -> Overview:
    """One profile, by its identifier or our id. NotFound."""
    return await here.store.read(lambda tx: _overview(tx, find(tx, name)))


async def standing(here: Here, name: str, *, limit: int = 1000) -> Sequence[tuple[str, Installation]]:
    """How a profile stands on each device that it was sent to, by what the device calls itself; `limit` of them."""

    def read(tx: Tx) -> Sequence[tuple[str, Installation]]:
        rows = tx.profiles.installations(find(tx, name).id, limit=limit)
        named = ((tx.enrollments.get(each.enrollment_key), each) for each in rows)
        return [((enrollment and enrollment.id) or each.enrollment_key, each) for enrollment, each in named]

    return await here.store.read(read)


async def content(here: Here, name: str) -> bytes:
    """A profile as it was uploaded or built. NotFound."""
    profile = await here.store.read(lambda tx: find(tx, name))
    return here.sealer.open(profile.content, content_place(profile.id))


def find(tx: Tx, name: str) -> StoredProfile:
    """By identifier, or our id. NotFound."""
    found = tx.profiles.by_identifier(name) or tx.profiles.get(ProfileID(name))
    if found is None:
        raise NotFound(f"There is no profile {name!r}.", advice="`bramley profile list` shows what there is.")
    return found


def fan_out(tx: Tx, profile_id: ProfileID, now: datetime) -> None:
    """Has every device looked after that has the profile or shall have it."""
    args, dedup_key = {"profile_id": profile_id}, f"{FAN_OUT}:{profile_id}"
    tx.jobs.add(Job(FAN_OUT, run_at=now, created_at=now, args=args, dedup_key=dedup_key))


def content_place(profile_id: ProfileID) -> Place:
    """Where a profile's content is sealed."""
    return Place("profile", profile_id, "content")


def _overview(tx: Tx, profile: StoredProfile) -> Overview:
    return Overview(profile, tx.profiles.assignments(profile.id), tx.profiles.count(profile.id))


def _is_encrypted(here: Here, profile: StoredProfile) -> bool:
    """Whether a profile goes out so that only a device can read it: by this server, or since it came like that."""
    if profile.handling is not Handling.AS_IS:
        return profile.handling is Handling.ENCRYPT
    return documents.read(here.sealer.open(profile.content, content_place(profile.id))).encrypted


def _handling(document: Document, *, encrypt: bool | None, encrypted: bool) -> Handling:
    """What is to be done to it. `encrypted` says that the one before was, and nobody has said that this one shall not be."""
    if document.kind is DocumentKind.PLAIN:
        return Handling.ENCRYPT if encrypt or encrypted else Handling.SIGN
    if encrypted and not document.encrypted:
        raise Invalid(
            "The profile in whose place it comes goes out encrypted; this one is signed already, and would go out in clear.",
            advice="Give it unsigned, to be encrypted for each device, or say that it need not be: `--no-encrypt`, or "
            '`"encrypt": false`.',
        )
    if encrypt:
        raise Invalid(
            f"The profile is {document.kind} already and goes out as it is.",
            advice="Give it in clear to have it encrypted for each device.",
        )
    return Handling.AS_IS


def _scope(document: Document) -> Scope:
    """Whom it is for on Macs. Invalid for what only a user's channel could be sent, and would not be."""
    content = document.content or {}
    if content.get("PayloadScope") == Scope.USER:
        return Scope.USER
    # what goes out as it is may hold braces of its own
    names = variables.names_in(content) if document.kind is DocumentKind.PLAIN else ()
    if of_users := sorted(name for name in names if name.startswith("user.")):
        raise Invalid(
            f"The profile is for the whole device, and has the variable {of_users[0]}, for which a device has no value.",
            advice="Give it the PayloadScope User: then each managed user of a Mac gets it.",
        )
    return Scope.SYSTEM


def _identifier(document: Document) -> str:
    identifier = document.identifier
    if identifier is None:
        raise Invalid(
            "The whole profile is encrypted, its identifier too: this server could neither replace nor remove it.",
            advice="Encrypt its payloads alone, as Apple describes, or give it in clear.",
        )
    return identifier
