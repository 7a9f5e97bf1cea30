"""What a check of a profile finds: which rule, at which key, and on which systems."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bramley.model.systems import System


class Severity(StrEnum):
    """`ERROR`: devices refuse it, or do not do what it says. `WARNING`: they take it. `NOTE`: it was not looked at."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Rule(StrEnum):
    """The rules, by the word that errors name them with."""

    IS_A_PROFILE = "is-a-profile"
    SIGNATURE_HOLDS = "signature-holds"
    SIGNER_IN_FORCE = "signer-in-force"
    HAS_PAYLOADS = "has-payloads"
    ENCRYPTED_IS_CMS = "encrypted-is-CMS"
    ONE_MDM_PAYLOAD = "one-MDM-payload"
    UNIQUE_UUID = "unique-UUID"
    UNIQUE_KEY = "unique-key"
    UNIQUE_IDENTIFIER = "unique-identifier"
    REFERENCE_EXISTS = "reference-exists"
    REFERENCE_FITS = "reference-fits"
    TYPE = "type"
    REQUIRED = "required"
    ALLOWED_VALUE = "allowed-value"
    RANGE = "range"
    FORM = "form"
    COUNT = "count"
    KNOWN_KEY = "known-key"
    KNOWN_TYPE = "known-type"
    OFFERED = "offered"
    USER_ENROLLMENT = "user-enrollment"
    KNOWN_VARIABLE = "known-variable"
    NO_VARIABLE = "no-variable"
    CERTIFICATE = "certificate"
    DIGEST = "digest"
    ARCHIVE_OPENS = "archive-opens"
    PUSH_TOPIC = "push-topic"
    HTTPS = "https"
    HTTP = "http"
    ACCESS_RIGHTS = "access-rights"
    KEY_TYPE = "key-type"
    KEY_SIZE = "key-size"
    KEY_USAGE = "key-usage"
    HARDWARE_BOUND = "hardware-bound"
    NEEDS = "needs"
    STRENGTH = "strength"
    SCOPE = "scope"
    IMMUTABLE = "immutable"
    RIGHTS_NEVER_GROW = "rights-never-grow"
    SAME_IDENTIFIER = "same-identifier"
    DEVICE_CHANNEL = "device-channel"


@dataclass(frozen=True, slots=True)
class Finding:
    """One of them. `path` is as in `PayloadContent[2].EAPClientConfiguration.AcceptEAPTypes[0]`; "" is the profile itself.

    `words` is a sentence that says what was expected and what came. `systems` are those that it is true of; none: all.
    """

    severity: Severity
    path: str
    rule: Rule
    words: str
    systems: tuple[System, ...] = ()


def error(path: str, rule: Rule, words: str) -> Finding:
    """A finding that is true of all systems, as most are."""
    return Finding(Severity.ERROR, path, rule, words)


def warning(path: str, rule: Rule, words: str) -> Finding:
    """As `error`, for what devices take."""
    return Finding(Severity.WARNING, path, rule, words)


def within(path: str, key: str) -> str:
    """The path of a key in the dictionary at `path`."""
    return f"{path}.{key}" if path else key
