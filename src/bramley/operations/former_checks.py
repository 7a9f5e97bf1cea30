"""Whether an enrollment of a former MDM can go on here: its certificate is trusted and its own, its topic is one of ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509

from bramley.mdm.errors import Refusal, Refused
from bramley.mdm.identity import IdentityTrust
from bramley.model.enrollments import EnrollmentID
from bramley.operations.former_lines import FormerEnrollment, Problem
from bramley.pki import certificates, chains, keys, oids
from bramley.pki.errors import BadCertificate, BadKey, ChainError

_ADVICE: Final[Mapping[Refusal, str]] = {
    Refusal.UNKNOWN_ISSUER: "Trust the former CA first: `bramley identity ca trust CA.pem`.",
    Refusal.NOT_YET_VALID: "Run this again when that time has come.",
}


@dataclass(frozen=True, slots=True)
class Rules:
    """What lines are held to. `topics` are those of our push certificates, or the one of the former profile."""

    trust: IdentityTrust
    topics: Collection[str]
    now: datetime
    skew: timedelta
    after_end: timedelta | None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A device that can go on here as far as its line says, with the users' channels that came with it."""

    line: FormerEnrollment
    certificate: x509.Certificate
    self_signed: bool
    ended: bool
    channels: tuple[FormerEnrollment, ...] = ()

    @property
    def sha256(self) -> str:
        return certificates.sha256(self.certificate)


class Unfit(Exception):
    """Why a line cannot be used."""

    def __init__(self, line: FormerEnrollment, name: str, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.problem = Problem(line.where, name, message, advice)


def candidates(lines: Iterable[FormerEnrollment | Problem], rules: Rules) -> tuple[list[Candidate], list[Problem]]:
    """The devices that can go on, in the order they came, and what is wrong with the other lines."""
    read = list(lines)
    problems = [line for line in read if isinstance(line, Problem)]
    devices = [line for line in read if isinstance(line, FormerEnrollment) and not line.is_channel]
    channels = [line for line in read if isinstance(line, FormerEnrollment) and line.is_channel]
    found: dict[EnrollmentID, Candidate] = {}
    for line in devices:
        try:
            if line.sender.device in found:
                raise Unfit(line, "udid", f"{line.sender.device} came before, on {found[line.sender.device].line.where}.")
            found[line.sender.device] = _candidate(line, rules)
        except Unfit as unfit:
            problems.append(unfit.problem)
    kept, doubled = _one_to_one(list(found.values()))
    with_channels, lost = _with_channels(kept, channels, rules)
    return with_channels, [*problems, *doubled, *lost]


def _candidate(line: FormerEnrollment, rules: Rules) -> Candidate:
    _check_topic(line, rules)
    try:
        certificate = certificates.load(line.certificate or b"")
        keys.require_strong(certificates.public_key(certificate))
    except (BadCertificate, BadKey) as error:
        raise Unfit(line, "certificate", error.message, "The device has to be enrolled again.") from None
    ended = rules.now > certificate.not_valid_after_utc + rules.skew
    alone = certificates.issued_by(certificate, certificate)
    if alone:
        _check_alone(line, certificate, rules)
    else:
        _check_issued(line, certificate, rules, ended=ended)
    return Candidate(line, certificate, alone, ended)


def _check_topic(line: FormerEnrollment, rules: Rules) -> None:
    if line.topic not in rules.topics:
        ours = ", ".join(sorted(rules.topics)) or "there is none"
        raise Unfit(
            line,
            "topic",
            f"Expected a topic of a push certificate here, and of the profile where one is given ({ours}); {line.topic!r} came.",
            "Import the former server's push certificate: `bramley push import`.",
        )


def _check_alone(line: FormerEnrollment, certificate: x509.Certificate, rules: Rules) -> None:
    """One that vouches for itself may vouch for nothing else, and is judged as at every request."""
    try:
        constraints = certificates.extension(certificate, x509.BasicConstraints)
        if constraints is not None and constraints.ca:
            raise Unfit(
                line,
                "certificate",
                "It is self-signed and a CA: whoever has its key could make more of its like.",
                "Trust it by `bramley identity ca trust` if it is the former CA; a device with such an identity has to be "
                "enrolled again.",
            )
        chains.verify(
            certificate,
            intermediates=(),
            anchors=(certificate,),
            at=rules.now,
            extended_key_usage=oids.CLIENT_AUTH,
            skew=rules.skew,
        )
    except (ChainError, BadCertificate) as error:
        raise Unfit(line, "certificate", error.message, "The device has to be enrolled again.") from None


def _check_issued(line: FormerEnrollment, certificate: x509.Certificate, rules: Rules, *, ended: bool) -> None:
    try:
        rules.trust.admit(certificates.der(certificate), rules.now, rules.skew, ended_too=rules.after_end is not None)
    except Refused as refused:
        raise Unfit(line, "certificate", refused.message, _ADVICE.get(refused.reason, "Enroll the device again.")) from None
    if ended and (rules.after_end is None or rules.now > certificate.not_valid_after_utc + rules.after_end):
        raise Unfit(
            line,
            "certificate",
            f"It ended at {certificate.not_valid_after_utc:%F %T} UTC, too long ago to be renewed.",
            "Enroll the device again; the setting identity.expired_days says how long an ended identity is good for that.",
        )


def _one_to_one(found: Sequence[Candidate]) -> tuple[list[Candidate], list[Problem]]:
    """Without those that share a certificate: any of them could speak for any other."""
    count = Counter(each.sha256 for each in found)
    kept = [each for each in found if count[each.sha256] == 1]
    problems = [
        Unfit(
            each.line,
            "certificate",
            f"{count[each.sha256]} devices have this one identity (SHA-256 {each.sha256[:16]}…): whoever holds its key could "
            "speak for each of them.",
            "An identity is one device's alone. These devices have to be enrolled again.",
        ).problem
        for each in found
        if count[each.sha256] > 1
    ]
    return kept, problems


def _with_channels(
    devices: Sequence[Candidate], channels: Sequence[FormerEnrollment], rules: Rules
) -> tuple[list[Candidate], list[Problem]]:
    """Each device with its users' channels; a channel goes where its device goes."""
    of_device: dict[EnrollmentID, dict[str | None, FormerEnrollment]] = {each.line.sender.device: {} for each in devices}
    problems: list[Problem] = []
    for line in channels:
        try:
            _check_topic(line, rules)
            siblings = of_device.get(line.sender.device)
            if siblings is None:
                raise Unfit(
                    line,
                    "udid",
                    f"No line that can be used is of its device, {line.sender.device}.",
                    "Give the device's with it.",
                )
            if line.sender.user in siblings:
                raise Unfit(line, "user_id", f"This user came before, on {siblings[line.sender.user].where}.")
        except Unfit as unfit:
            problems.append(unfit.problem)
        else:
            siblings[line.sender.user] = line
    made = [
        Candidate(each.line, each.certificate, each.self_signed, each.ended, tuple(of_device[each.line.sender.device].values()))
        for each in devices
    ]
    return made, problems
