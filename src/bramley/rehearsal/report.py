"""What the demo came to, for people and for machines."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

from bramley.model.kinds import Kind

if TYPE_CHECKING:
    from rich.console import Console

    from bramley.rehearsal.demo import Attack, Demo
    from bramley.storage.protocols import CertificateRow

_USES = {
    Kind.ROOT_CA: "signs the authorities; every device trusts it",
    Kind.IDENTITY_CA: "issues device identities, opens SCEP",
    Kind.HTTPS_CA: "issues the HTTPS certificate",
    Kind.SIGNER_CA: "issues the profile signer",
    Kind.HTTPS: "this server, for whoever connects",
    Kind.PROFILE_SIGNER: "signs profiles",
    Kind.PUSH: "pushes to every device",
}


def print_json(demo: Demo) -> None:
    """A line for each refused attempt, then the object that tells all."""
    for attack in demo.attacks:
        for attempt in attack.attempts:
            said = {"attempt": attempt.description, "refused": attempt.refused, "answer": attempt.answered}
            print(json.dumps({"attacker": attack.name, **said}))
    print(json.dumps(demo.as_json()), flush=True)


def show(console: Console, demo: Demo) -> None:
    """A table of every certificate that came to be, a line for each way that was refused, and the sum."""
    from rich import box
    from rich.table import Table

    columns = ("kind", "subject", "issuer", "ends", "state", "used by")
    table = Table(*columns, box=box.SIMPLE_HEAD, title="Certificates", pad_edge=False)
    for row in demo.certificates:
        version = row.version
        ends = f"{version.not_after:%Y-%m-%d}" if version.not_after else "never"
        table.add_row(row.lineage.kind, _cn(version.subject), _cn(version.issuer), ends, version.state, _used_by(row))
    console.print(table)
    for attack in demo.attacks:
        _show_attack(console, attack)
    for failure in demo.failures:
        console.print(f"[bold red]✗[/bold red] {failure}")
    mark = "[bold green]All went as it must:[/bold green]" if demo.passed else "[bold red]Not all went as it must:[/bold red]"
    console.print(
        f"{mark} {demo.enrolled} of {demo.devices} devices enrolled, {demo.pushed} pushed, "
        f"{demo.commands_answered} commands answered, {demo.renewed} identity renewed, {demo.revoked} revoked, "
        f"{demo.attacks_refused} of {len(demo.attacks)} attackers refused.",
        highlight=False,
    )


def _show_attack(console: Console, attack: Attack) -> None:
    """One line for each way, however many messages and styles it was tried with."""
    tried: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    answers: dict[str, set[str]] = {}
    for attempt in attack.attempts:
        way = attempt.description.partition(": ")[0]
        tried[way] += 1
        refused[way] += attempt.refused
        answers.setdefault(way, set()).add(attempt.answered.partition(": ")[0])
    console.print(f"[bold]{attack.name}[/bold]")
    for way, count in tried.items():
        mark = "[green]refused[/green]" if refused[way] == count else "[bold red]GOT THROUGH[/bold red]"
        console.print(f"  {mark} {refused[way]} of {count}: {way} ({', '.join(sorted(answers[way]))})", highlight=False)


def _used_by(row: CertificateRow) -> str:
    return row.enrollment_id or row.enrollment_key or _USES.get(row.lineage.kind, "")


def _cn(name: str | None) -> str:
    """The common name of an RFC 4514 text, or the whole of it."""
    parts = (name or "").split(",")
    return next((part.removeprefix("CN=") for part in parts if part.startswith("CN=")), name or "")
