"""`bramley profile`: keep profiles, assign them, see how they stand; inspect and sign files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from bramley.cli import profile_files, profile_making, profile_package, profile_signer
from bramley.cli.arguments import DeviceArgument, read_file, write_new
from bramley.cli.profile_making import finding_as_json, finding_in_words
from bramley.cli.session import ACTOR, Session
from bramley.cli.verbs import DryRunOption, Verb, YesOption, noun
from bramley.errors import BadInput
from bramley.model.commands import Command
from bramley.model.profiles import Installation as Standing
from bramley.model.profiles import InstallState, StoredProfile, TargetKind
from bramley.operations.installation import Installation
from bramley.operations.profiles import assigning, keeping
from bramley.operations.profiles.assigning import Target
from bramley.operations.profiles.keeping import Kept, Overview
from bramley.profiles.documents import LARGEST

app = noun("Profiles: keep, assign, check; inspect and sign files.")
profile_files.register(app)
profile_making.register(app)
profile_package.register(app)
profile_signer.register(app)

ProfileArgument = Annotated[str, typer.Argument(metavar="PROFILE", help="Its identifier, as `bramley profile list` names it.")]
DevicesOption = Annotated[list[str] | None, typer.Option("--device", metavar="DEVICE", help="A device; repeatable.")]
TagsOption = Annotated[list[str] | None, typer.Option("--tag", help="All devices that have it, now or later; repeatable.")]

_STATES = (InstallState.INSTALLED, InstallState.SENT, InstallState.FAILED, InstallState.MISSING, InstallState.REMOVING)


@app.command("add", cls=Verb)
def add(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The .mobileconfig: plain, signed or encrypted.")],
    name: Annotated[str | None, typer.Option(help="What to call it; by default its PayloadDisplayName.")] = None,
    encrypt: Annotated[
        bool | None,
        typer.Option(
            "--encrypt/--no-encrypt",
            help="Encrypt it to each device before it is signed, or do not; by default as the one before it, else not.",
        ),
    ] = None,
    dry_run: DryRunOption = False,
) -> None:
    """Keep a profile, in the place of the one with its identifier; devices that have the former get the new one.

    A plain one is signed for each device, after its {{ variables }} were filled in. A signed or encrypted one goes out as it is.
    """
    session, data = Session(ctx), read_file(file, "profile", most=LARGEST)

    async def put(installation: Installation) -> Kept:
        return await keeping.put(installation, data, name=name, encrypt=encrypt, actor=ACTOR)

    kept = session.run(put, dry_run=dry_run)
    if session.output.as_json:
        found = [finding_as_json(each) for each in kept.findings]
        session.output.json({"dry_run": dry_run, "changed": kept.changed, **_profile_as_json(kept.profile), "findings": found})
        return
    for each in kept.findings:
        session.output.remark(finding_in_words(each))
    profile, would = kept.profile, "would be " if dry_run else ""
    done = f"{would}kept, revision {profile.revision}" if kept.changed else "is here already, the same"
    session.output.line(f"{profile.identifier}: {done}; {profile.handling.words}")


@app.command("list", cls=Verb)
def list_(ctx: typer.Context) -> None:
    """List the profiles that are kept, and on how many devices each stands how."""
    session = Session(ctx)
    found = session.run(keeping.listing)
    if session.output.as_json:
        session.output.json([_as_json(each) for each in found])
        return
    session.output.table(
        ("profile", "name", "revision", "goes out", "assigned to", *(str(state) for state in _STATES)),
        [
            (
                each.profile.identifier,
                each.profile.name,
                each.profile.revision,
                each.profile.handling.words,
                _targets(each),
                *(each.counts[state] for state in _STATES),
            )
            for each in found
        ],
        empty="No profiles. `bramley profile add FILE` keeps one.",
        spare=("removing", "missing", "name"),
    )


@app.command("show", cls=Verb)
def show(
    ctx: typer.Context,
    profile: ProfileArgument,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="At most so many devices.")] = 1000,
) -> None:
    """Show one profile: who shall have it, and how it stands on each device."""
    session = Session(ctx)
    overview = session.run(lambda installation: keeping.show(installation, profile))
    rows = session.run(lambda installation: keeping.standing(installation, profile, limit=limit))
    if session.output.as_json:
        devices = [{"device": name, **_installation_as_json(each)} for name, each in rows]
        session.output.json(_as_json(overview) | {"devices": devices})
        return
    kept = overview.profile
    session.output.fields(
        kept.identifier,
        [
            ("name", kept.name),
            ("revision", kept.revision),
            ("goes out", kept.handling.words),
            ("on Macs for", kept.scope.words),
            ("assigned to", _targets(overview)),
            ("changed (UTC)", kept.changed_at),
            ("by", kept.changed_by),
            ("SHA-256", kept.sha256),
        ],
    )
    session.output.table(
        ("device", "state", "revision", "since (UTC)", "problem"),
        [(name, each.state, each.revision, each.changed_at, each.problem) for name, each in rows],
        empty="It is on no device.",
    )
    session.output.cut(rows, limit)


@app.command("export", cls=Verb)
def export(
    ctx: typer.Context,
    profile: ProfileArgument,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write.")],
) -> None:
    """Write a profile to a file as it is kept: variables not filled in, neither encrypted nor signed by this server."""
    session = Session(ctx)
    write_new(output, session.run(lambda installation: keeping.content(installation, profile)))
    if session.output.as_json:
        session.output.json({"file": output})
        return
    session.output.line(str(output))


@app.command("remove", cls=Verb)
def remove(ctx: typer.Context, profile: ProfileArgument, yes: YesOption = False, dry_run: DryRunOption = False) -> None:
    """Forget a profile that no device has and that none shall have."""
    session = Session(ctx)

    async def act(installation: Installation) -> str:
        return (await keeping.remove(installation, profile, actor=ACTOR)).identifier

    removed = session.run(act, dry_run=True)
    if not dry_run:
        session.confirm(f"Forget {removed}? It is kept nowhere else here.", yes=yes)
        session.run(act)
    if session.output.as_json:
        session.output.json({"dry_run": dry_run, "profile": removed})
        return
    session.output.line(f"{removed}: {'would be forgotten (nothing was changed)' if dry_run else 'forgotten'}")


@app.command("assign", cls=Verb)
def assign(
    ctx: typer.Context,
    profile: ProfileArgument,
    device: DevicesOption = None,
    tag: TagsOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Have devices get a profile: now, after a wipe too, and in each new revision."""
    session, targets = Session(ctx), _named(device, tag)

    async def act(installation: Installation) -> int:
        return await assigning.assign(installation, profile, targets, actor=ACTOR)

    new = session.run(act, dry_run=dry_run)
    _changed(session, profile, new, targets, f"{new} new of {len(targets)} assignment(s)", dry_run)


@app.command("unassign", cls=Verb)
def unassign(
    ctx: typer.Context,
    profile: ProfileArgument,
    device: DevicesOption = None,
    tag: TagsOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """End assignments: devices that have no other reason to have the profile remove it."""
    session, targets = Session(ctx), _named(device, tag)

    async def act(installation: Installation) -> int:
        return await assigning.unassign(installation, profile, targets, actor=ACTOR)

    ended = session.run(act, dry_run=dry_run)
    _changed(session, profile, ended, targets, f"{ended} of {len(targets)} assignment(s) ended", dry_run)


@app.command("check", cls=Verb)
def check(ctx: typer.Context, device: DeviceArgument) -> None:
    """Show how profiles stand on a device, and ask it which it has: what it has lost is sent again."""
    session = Session(ctx)

    async def ask(installation: Installation) -> Command:
        return await assigning.check(installation, device, actor=ACTOR)

    asked = session.run(ask)
    found = session.run(lambda installation: assigning.standing(installation, device))
    if session.output.as_json:
        rows = [{"profile": profile.identifier, "wanted": profile.revision, **_installation_as_json(on)} for profile, on in found]
        session.output.json({"command_uuid": asked.uuid, "profiles": rows})
        return
    session.output.table(
        ("profile", "revision", "on the device", "state", "problem"),
        [
            (profile.identifier, profile.revision, on and on.revision, on.state if on else "to be sent", on.problem if on else "")
            for profile, on in found
        ],
        empty="It has no profiles of this server, and shall have none.",
    )
    session.output.remark(f"ProfileList {asked.uuid} is queued: the answer is compared with this.")


def _named(devices: Sequence[str] | None, tags: Sequence[str] | None) -> list[Target]:
    found = [Target(TargetKind.DEVICE, name) for name in devices or ()] + [Target(TargetKind.TAG, name) for name in tags or ()]
    if not found:
        raise BadInput("Expected --device or --tag; neither came.")
    return found


def _targets(overview: Overview) -> str:
    tags = [f"tag {each.target}" for each in overview.assignments if each.kind is TargetKind.TAG]
    devices = sum(each.kind is TargetKind.DEVICE for each in overview.assignments)
    return ", ".join([*tags, *([f"{devices} device(s)"] if devices else [])])


def _changed(session: Session, profile: str, changed: int, targets: Sequence[Target], what: str, dry_run: bool) -> None:
    if session.output.as_json:
        session.output.json({"dry_run": dry_run, "profile": profile, "changed": changed, "targets": len(targets)})
        return
    session.output.line(f"{profile}: {what}{' (nothing was changed)' if dry_run else ''}")


def _installation_as_json(on: Standing | None) -> dict[str, object]:
    if on is None:
        return {"state": None, "revision": None, "since": None, "problem": ""}
    return {"state": on.state, "revision": on.revision, "since": on.changed_at, "problem": on.problem}


def _as_json(overview: Overview) -> dict[str, object]:
    return _profile_as_json(overview.profile) | {
        "assigned_to": [{"kind": each.kind, "target": each.target} for each in overview.assignments],
        "devices_by_state": {state.value: count for state, count in overview.counts.items()},
    }


def _profile_as_json(profile: StoredProfile) -> dict[str, object]:
    return {
        "id": profile.id,
        "identifier": profile.identifier,
        "name": profile.name,
        "revision": profile.revision,
        "handling": profile.handling,
        "scope": profile.scope,
        "sha256": profile.sha256,
        "created_at": profile.created_at,
        "changed_at": profile.changed_at,
        "changed_by": profile.changed_by,
    }
