"""Tokens of Apple's services: of ADE, encrypted or not, and of Apps and Books. No secret in them is shown."""

from __future__ import annotations

import json
from binascii import Error as Base64Error
from binascii import a2b_base64
from datetime import UTC, datetime
from typing import Any, Final

from bramley.operations.inspection.finding import Finding, Question, What, details, shown
from bramley.operations.inspection.messages import of_enveloped
from bramley.pki.forms import Form, form_of

_ADE: Final = frozenset({"consumer_key", "consumer_secret", "access_token", "access_secret"})
_APPS_AND_BOOKS: Final = frozenset({"token", "expDate", "orgName"})
_LARGEST: Final = 1024 * 1024
_KEYS_SHOWN: Final = 12
_BEGIN, _END = b"-----BEGIN MESSAGE-----", b"-----END MESSAGE-----"


def of_json(data: bytes, question: Question) -> Finding:
    """JSON, and the tokens that are JSON."""
    value = _read(data)
    if value is None:
        return Finding(What.UNKNOWN, "It begins as JSON and cannot be read as such.")
    found: dict[str, Any] = value if isinstance(value, dict) else {}
    if found.keys() >= _ADE:
        return _token(
            What.ADE_TOKEN,
            "Lets an MDM server fetch its devices from Apple Business or School Manager. Secret: it is not encrypted.",
            until=_moment(found.get("access_token_expiry")),
            now=question.now,
        )
    if found.keys() >= _APPS_AND_BOOKS:
        return _token(
            What.APPS_AND_BOOKS_TOKEN,
            "Lets an MDM server assign apps and books. It also ends when the account that downloaded it changes its password.",
            owner=shown(found["orgName"]),
            until=_moment(found["expDate"]),
            now=question.now,
        )
    return Finding(
        What.JSON,
        "Nothing of MDM that is known here.",
        details=details(keys=", ".join(shown(key, 40) for key in list(found)[:_KEYS_SHOWN])),
    )


def of_message(data: bytes, question: Question) -> Finding:
    """Text of a mail message: an ADE server token as Apple's portals give it, or one that was decrypted."""
    if _BEGIN in data:
        return of_json(data.partition(_BEGIN)[2].partition(_END)[0].strip(), question)
    body = data.replace(b"\r\n", b"\n").partition(b"\n\n")[2]
    try:
        content = a2b_base64(b"".join(body.split()), strict_mode=True)
    except Base64Error:
        content = b""
    if form_of(content) is Form.ENVELOPED:
        return of_enveloped(
            content,
            what=What.ADE_TOKEN_FILE,
            purpose="From Apple Business or School Manager, for the server whose certificate was uploaded there. "
            "The token before it ended when this was downloaded.",
        )
    if not content:
        return Finding(What.UNKNOWN, "A mail message with nothing in it that is known here.")
    inner = question.inside(content)
    return inner[0] if inner else Finding(What.UNKNOWN, "A mail message, nested too deeply.")


def _token(what: What, purpose: str, *, owner: str = "", until: datetime | None, now: datetime) -> Finding:
    warnings = [f"It expired on {until:%Y-%m-%d}."] if until and now > until else []
    if until is None:
        warnings.append("Its end cannot be read.")
    return Finding(what, purpose, owner=owner, not_after=until, warnings=tuple(warnings))


def _read(data: bytes) -> object:
    """The JSON value; None for what is none, or too large, or nested beyond reason."""
    if len(data) > _LARGEST:
        return None
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _moment(value: object) -> datetime | None:
    """An ISO 8601 date with or without a zone, as Apple's tokens bear it."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
        return None if found is None else found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
