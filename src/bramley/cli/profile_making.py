"""`bramley profile build` and `validate`: profiles from descriptions, and what devices will say of one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from bramley.cli.arguments import read_file, write_new
from bramley.cli.session import Session
from bramley.cli.verbs import Verb
from bramley.clock import SystemClock
from bramley.errors import BadInput
from bramley.mdm import plist
from bramley.profiles import documents, immutable, validate
from bramley.profiles.building import build as build_profile
from bramley.profiles.building import read_spec
from bramley.profiles.documents import LARGEST, Document, DocumentKind
from bramley.profiles.rules import Finding, Severity, Target, signer


def register(app: typer.Typer) -> None:
    """Adds the verbs to `bramley profile`."""
    app.command("build", cls=Verb)(build)
    app.command("validate", cls=Verb)(check)


def build(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The description: YAML, TOML or JSON.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write.")],
) -> None:
    """Make a profile of a description. Files that it names are looked for beside it."""
    session = Session(ctx)
    spec = read_spec(read_file(file, "description", most=LARGEST), file.name)
    profile = build_profile(spec, read_file=lambda name: read_file(file.parent / name, "file", most=LARGEST))
    write_new(output, plist.dumps(profile))
    findings = validate.check(profile)
    if session.output.as_json:
        session.output.json({"file": output, "findings": [finding_as_json(each) for each in findings]})
        return
    for each in findings:
        session.output.remark(finding_in_words(each))
    session.output.line(str(output))


def check(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The .mobileconfig.")],
    systems: Annotated[
        list[str] | None, typer.Option("--for", metavar="SYSTEM", help="What it is for, such as 'iOS 17.4' or macOS; repeatable.")
    ] = None,
    user_enrollment: Annotated[
        bool, typer.Option("--user-enrollment", help="For devices that are enrolled by their user.")
    ] = False,
    replaces: Annotated[
        Path | None,
        typer.Option(metavar="FORMER", help="The enrollment profile that devices have: what may not change is compared."),
    ] = None,
) -> None:
    """Say what is wrong with a profile, key by key and rule by rule. Exits 1 where devices would not take it."""
    session = Session(ctx)
    document = documents.read(read_file(file, "profile", most=LARGEST))
    targets = [Target.parse(each) for each in systems or ()]
    content = document.content
    findings = tuple(signer.out_of_force(document.signer, SystemClock().now()))
    if content is not None:
        as_it_is = document.kind is not DocumentKind.PLAIN
        findings += validate.check(content, systems=targets, user_enrollment=user_enrollment, as_it_is=as_it_is)
    if replaces is not None:
        findings = (*findings, *_changes(documents.read(read_file(replaces, "former profile", most=LARGEST)), document))
    if session.output.as_json:
        session.output.json({"kind": document.kind, "findings": [finding_as_json(each) for each in findings]})
    elif findings:
        session.output.table(
            ("", "key", "rule", "what"),
            [(each.severity, each.path or "the profile", each.rule, each.words) for each in findings],
            empty="",
        )
    else:
        session.output.line("Nothing is wrong with it." if content is not None else "All of it is encrypted: nobody can tell.")
    if any(each.severity is Severity.ERROR for each in findings):
        raise typer.Exit(1)


def _changes(former: Document, document: Document) -> Iterator[Finding]:
    """What may not change and would. BadInput where one of the two cannot be looked into, BadProfile as `immutable.compare`."""
    for each, name in ((former, "former profile"), (document, "profile")):
        if each.content is None or each.encrypted:
            raise BadInput(f"The {name} is encrypted: nobody can tell what would change.", advice="Give it in clear or signed.")
    return immutable.compare(former.content or {}, document.content or {})


def finding_in_words(finding: Finding) -> str:
    """One line for people."""
    return f"{finding.severity}: {finding.path or 'the profile'}: {finding.words}"


def finding_as_json(finding: Finding) -> dict[str, object]:
    """For machines."""
    return {
        "severity": finding.severity,
        "key": finding.path,
        "rule": finding.rule,
        "words": finding.words,
        "systems": list(finding.systems),
    }
