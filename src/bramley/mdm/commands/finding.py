"""What a check of a command, or of an answer to one, finds: which rule, at which key."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from bramley.mdm.errors import BadValue


class Severity(StrEnum):
    """`ERROR`: devices refuse it, or it means something else; it is not sent. `NOTE`: it is sent, or kept, all the same."""

    ERROR = "error"
    NOTE = "note"


class Rule(StrEnum):
    """The rules, by the word that errors name them with."""

    TYPE = "type"
    REQUIRED = "required"
    ALLOWED_VALUE = "allowed-value"
    FORM = "form"
    COUNT = "count"
    KNOWN_KEY = "known-key"
    NEEDS = "needs"
    OFFERED = "offered"
    SUPERVISED = "supervised"
    USER_ENROLLMENT = "user-enrollment"
    CHANNEL = "channel"
    PASSWORD_HASH = "password-hash"  # noqa: S105 - a rule


@dataclass(frozen=True, slots=True)
class Finding:
    """One of them. `path` is as in `Settings[1].OrganizationInfo.OrganizationName`; "" is the command itself.

    `words` is a sentence that says what was expected and what came. It never repeats what came under a key that is secret.
    """

    severity: Severity
    path: str
    rule: Rule
    words: str


class BadCommand(BadValue):
    """A command that breaks a rule of the table: `key` and `rule` say where and which."""

    def __init__(self, request_type: str, finding: Finding, *, more: int = 0) -> None:
        at = f"{request_type}, {finding.path}" if finding.path else request_type
        others = f" ({more} more are wrong.)" if more else ""
        super().__init__(
            f"{at}: {finding.words}{others}", advice=f"The rule is {finding.rule}; docs/reference/commands.md has the keys."
        )
        self.key = finding.path
        self.rule = finding.rule


def error(path: str, rule: Rule, words: str) -> Finding:
    """What a command cannot be sent with."""
    return Finding(Severity.ERROR, path, rule, words)


def note(path: str, rule: Rule, words: str) -> Finding:
    """What somebody should know, and nothing stops for."""
    return Finding(Severity.NOTE, path, rule, words)


def within(path: str, key: str) -> str:
    """The path of a key in the dictionary at `path`."""
    return f"{path}.{key}" if path else key


def refuse_errors(request_type: str, findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings, or BadCommand for the first error, which says how many more there are."""
    found = tuple(findings)
    errors = [each for each in found if each.severity is Severity.ERROR]
    if errors:
        raise BadCommand(request_type, errors[0], more=len(errors) - 1)
    return found
