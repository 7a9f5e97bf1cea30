"""What people and machines see of the demo."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bramley.cli.output import Output, common_name
from bramley.model.kinds import Kind
from bramley.rehearsal.outcome import ATTACKERS, Attack, Outcome
from bramley.storage.protocols import CertificateRow

_USES = {
    Kind.ROOT_CA: "every device trusts it",
    Kind.IDENTITY_CA: "issues device identities",
    Kind.HTTPS_CA: "issues the HTTPS certificate",
    Kind.SIGNER_CA: "issues the profile signer",
    Kind.HTTPS: "this server",
    Kind.PROFILE_SIGNER: "signs profiles",
    Kind.PUSH: "pushes to every device",
    Kind.DEVICE_IDENTITY: "no device has used it",
}
"""In the order of the table: who issues stands before what is issued."""


class Report:
    """The audience of the demo."""

    def __init__(self, output: Output) -> None:
        self.output = output

    @contextmanager
    def step(self, text: str, failures: Sequence[str]) -> Iterator[None]:
        """A line for a step, ticked or crossed."""
        before, well = len(failures), False
        try:
            with self.output.busy(text):
                yield
            well = len(failures) == before
        finally:
            self.output.marked(*(("✓", "green") if well else ("✗", "bold red")), text)

    def show(self, outcome: Outcome, *, kept: Path | None) -> None:
        """For people every certificate, every way of attack and the sum; for machines every attempt, and the sum last.

        `kept` is the data folder of what goes on.
        """
        if self.output.as_json:
            self._json(outcome, kept)
            return
        self.output.line("")
        self.output.table(
            ("certificate", "subject", "issuer", "used by", "ends", "state"),
            [_line(row, outcome.names) for row in sorted(outcome.certificates, key=lambda row: _place(row, outcome.names))],
            empty="No certificates.",
            spare=("subject", "issuer"),
        )
        for attack in outcome.attacks:
            self._attack(attack)
        self.output.line("")
        for failure in outcome.failures:
            self.output.marked("✗", "bold red", failure)
        verdict = ("All went as it must:", "bold green") if outcome.passed else ("Not all went as it must:", "bold red")
        self.output.marked(
            *verdict,
            f"{outcome.enrolled} of {outcome.devices} devices enrolled, {outcome.pushed} pushed, "
            f"{outcome.commands_answered} commands answered, "
            f"{outcome.profiles.signed_and_encrypted} profiles encrypted and signed, {outcome.renewed} identity renewed, "
            f"{outcome.revoked} revoked, "
            f"{outcome.attacks_refused} of {ATTACKERS} attackers refused.",
        )

    def _json(self, outcome: Outcome, kept: Path | None) -> None:
        for attack in outcome.attacks:
            for attempt in attack.attempts:
                said = {"attempt": attempt.description, "refused": attempt.refused, "answer": attempt.answered}
                self.output.json({"attacker": attack.name, **said})
        self.output.json(outcome.as_json() | ({"data": kept} if kept else {}))

    def _attack(self, attack: Attack) -> None:
        """How often each way was tried, in all its variants, and what the server said to it."""
        refused = sum(attempt.refused for attempt in attack.attempts)
        answers = sorted({attempt.answered.partition(": ")[0] for attempt in attack.attempts})
        self.output.line("")
        self.output.marked(
            f"{attack.name}:", "bold", f"{refused} of {len(attack.attempts)} attempts refused ({', '.join(answers)})"
        )
        for way, count in Counter(attempt.way for attempt in attack.attempts).items():
            self.output.line(f"{count:5} × {way}")


def _place(row: CertificateRow, names: Mapping[str, str]) -> tuple[int, str, int]:
    kinds = list(_USES)
    place = kinds.index(row.lineage.kind) if row.lineage.kind in _USES else len(kinds)
    return place, _user(row, names), row.version.number


def _user(row: CertificateRow, names: Mapping[str, str]) -> str:
    """Whom or what it is for."""
    return names.get(row.enrollment_id, row.enrollment_id) if row.enrollment_id else _USES.get(row.lineage.kind, row.lineage.name)


def _line(row: CertificateRow, names: Mapping[str, str]) -> Sequence[object]:
    version = row.version
    ends = version.not_after.date().isoformat() if version.not_after else None
    return row.lineage.kind, common_name(version.subject), common_name(version.issuer), _user(row, names), ends, version.state
