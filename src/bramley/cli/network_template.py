"""`bramley network template`: what network identities are made after."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from bramley.cli.arguments import read_file
from bramley.cli.session import ACTOR, Session
from bramley.cli.verbs import DryRunOption, Verb, YesOption
from bramley.operations.installation import Installation
from bramley.operations.network import templates
from bramley.operations.network.templates import Kept
from bramley.profiles.network import LARGEST


def register(app: typer.Typer) -> None:
    """Adds the verbs to `bramley network template`."""
    app.command("add", cls=Verb)(add)
    app.command("list", cls=Verb)(list_)
    app.command("show", cls=Verb)(show)
    app.command("remove", cls=Verb)(remove)


def add(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The template, in TOML.")],
    dry_run: DryRunOption = False,
) -> None:
    """Keep a template, in the place of the one of its name. What has changed holds from each certificate's next renewal."""
    session, data = Session(ctx), read_file(file, "template", most=LARGEST)

    async def act(installation: Installation) -> Kept:
        return await templates.put(installation, data, actor=ACTOR)

    kept = session.run(act, dry_run=dry_run)
    if session.output.as_json:
        session.output.json({"dry_run": dry_run, "changed": kept.changed, **_as_json(kept)})
        return
    done = f"{'would be ' if dry_run else ''}kept" if kept.changed else "is here already, the same"
    session.output.line(f"{kept.template.name}: {done}; for {kept.template.use}, issued by {_issuer(kept)}")


def list_(ctx: typer.Context) -> None:
    """List the templates, and how many devices shall have a certificate after each."""
    session = Session(ctx)

    async def read(installation: Installation) -> Sequence[Kept]:
        return await templates.listing(installation)

    found = session.run(read)
    if session.output.as_json:
        session.output.json([_as_json(each) for each in found])
        return
    session.output.table(
        ("template", "for", "issued by", "lifetime", "devices", "changed (UTC)"),
        [
            (each.template.name, each.template.use, _issuer(each), _lifetime(each), each.devices, each.stored.changed_at)
            for each in found
        ],
        empty="No templates. `bramley network template add FILE` keeps one.",
    )


def show(ctx: typer.Context, template: Annotated[str, typer.Argument(metavar="TEMPLATE", help="Its name.")]) -> None:
    """Show one template. The challenge of an outside CA and the content of further payloads are not shown: they may be secret."""
    session = Session(ctx)

    async def read(installation: Installation) -> Kept:
        return await templates.show(installation, template)

    found = session.run(read)
    if session.output.as_json:
        session.output.json(_as_json(found))
        return
    made = found.template
    session.output.fields(
        made.name,
        [
            ("for", made.use),
            ("issued by", _issuer(found)),
            ("subject", ", ".join(f"{kind}={value}" for kind, value in made.subject)),
            *((f"name {kind}", value) for kind, value in made.sans),
            ("key size", made.key_size),
            ("lifetime", _lifetime(found)),
            ("renewed at", f"{made.renew_at:.0%} of its life"),
            ("further payloads", ", ".join(_payload_types(found)) or "none"),
            ("devices", found.devices),
            ("changed (UTC)", found.stored.changed_at),
            ("by", found.stored.changed_by),
        ],
    )


def remove(
    ctx: typer.Context,
    template: Annotated[str, typer.Argument(metavar="TEMPLATE", help="Its name.")],
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Forget a template after which no device shall have a certificate."""
    session = Session(ctx)

    async def act(installation: Installation) -> str:
        return (await templates.remove(installation, template, actor=ACTOR)).name

    removed = session.run(act, dry_run=True)
    if not dry_run:
        session.confirm(f"Forget the template {removed}? It is kept nowhere else here.", yes=yes)
        session.run(act)
    if session.output.as_json:
        session.output.json({"dry_run": dry_run, "removed": removed})
        return
    session.output.line(f"{removed}: {'would be forgotten' if dry_run else 'forgotten'}")


def _issuer(found: Kept) -> str:
    return found.template.outside.url if found.template.outside else "Bramley"


def _lifetime(found: Kept) -> str:
    lifetime = found.template.lifetime
    return f"{lifetime.days} days" if lifetime else "as the CA decides"


def _payload_types(found: Kept) -> list[str]:
    return [str(each["PayloadType"]) for each in found.template.payloads]


def _as_json(found: Kept) -> dict[str, object]:
    made = found.template
    return {
        "name": made.name,
        "use": made.use,
        "issuer": made.issuer,
        "outside_url": made.outside and made.outside.url,
        "subject": made.subject,
        "san": dict(made.sans),
        "key_size": made.key_size,
        "lifetime_days": made.lifetime and made.lifetime.days,
        "renew_at": made.renew_at,
        "payloads": _payload_types(found),
        "devices": found.devices,
        "created_at": found.stored.created_at,
        "changed_at": found.stored.changed_at,
        "changed_by": found.stored.changed_by,
    }
