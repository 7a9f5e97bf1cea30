"""Property lists: configuration profiles, with what their payloads bring; requests for push certificates; messages of devices.

Of payloads only what names things is shown: passwords, challenges and keys never are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from bramley.mdm import plist
from bramley.mdm.errors import BadMessage
from bramley.operations.inspection.certificates import of_certificate
from bramley.operations.inspection.finding import KEYS_OPENED, MOST_INSIDE, Finding, Question, What, details, shown
from bramley.operations.inspection.key_files import of_archive
from bramley.operations.inspection.messages import of_enveloped
from bramley.operations.inspection.requests import MARK, of_push_request
from bramley.pki.errors import BadFile
from bramley.pki.forms import Form, form_of
from bramley.pki.pieces import take_apart
from bramley.profiles import addresses

_CERTIFICATE_PAYLOADS: Final = frozenset({"com.apple.security.root", "com.apple.security.pkcs1", "com.apple.security.pem"})
_PKCS12_PAYLOAD: Final = "com.apple.security.pkcs12"
_MDM: Final = "com.apple.mdm"
_SCEP: Final = "com.apple.security.scep"
_ACME: Final = "com.apple.security.acme"
_KEYS_SHOWN: Final = 12
_IDENTITY: Final = "An identity that the profile brings along."
_LOCKED: Final = Finding(What.PKCS12, f"{_IDENTITY} Not opened: there are many of them.", details=details(locked=True))


def of_plist(data: bytes, question: Question, most: int) -> Finding:
    """An XML property list of at most `most` bytes."""
    try:
        value = plist.loads(data, max_bytes=most)
    except BadMessage as error:
        if MARK in data:
            return of_push_request(data, question)
        return Finding(What.UNKNOWN, "It begins as XML and is no property list that can be read.", warnings=(error.message,))
    if isinstance(value, dict) and MARK.decode() in value:
        return of_push_request(data, question)
    if isinstance(value, dict) and value.get("PayloadType") == "Configuration":
        return _of_profile(value, question)
    found: Mapping[str, Any] = value if isinstance(value, dict) else {}
    kind = shown(found.get("MessageType"))
    return Finding(
        What.PROPERTY_LIST,
        "A message of MDM, as devices send it." if kind else "A property list that is no profile.",
        details=details(message_type=kind, keys=", ".join(shown(key, 40) for key in list(found)[:_KEYS_SHOWN])),
    )


def of_binary_plist() -> Finding:
    """A binary property list, which is not read (see `bramley.mdm.plist`)."""
    return Finding(
        What.PROPERTY_LIST,
        "A property list in its binary form, which is not read here.",
        warnings=("`plutil -convert xml1 FILE` on a Mac makes XML of it; a signature around it would not hold for that.",),
    )


def _of_profile(profile: Mapping[str, Any], question: Question) -> Finding:
    content = profile.get("PayloadContent")
    payloads = [each for each in content if isinstance(each, dict)] if isinstance(content, list) else []
    encrypted = profile.get("EncryptedPayloadContent")
    mdm = next((each for each in payloads if each.get("PayloadType") == _MDM), {})
    inside: tuple[Finding, ...] = ()
    if isinstance(encrypted, bytes) and form_of(encrypted) is Form.ENVELOPED:
        inside = (of_enveloped(encrypted, purpose="The payloads of the profile, for one device alone."),)
    brought, more = _certificates(payloads, question)
    warnings: tuple[str, ...] = ()
    if content is not None and not isinstance(content, list):
        warnings = ("Its PayloadContent is no array of payloads.",)
    if more or len(brought) > MOST_INSIDE:
        warnings = (f"These are the first {MOST_INSIDE} of its certificates; there are more.",)
    removal = profile.get("RemovalDate")
    return Finding(
        What.PROFILE,
        "Enrolls a device with an MDM server." if mdm else "Configures a device that it is installed on.",
        owner=shown(profile.get("PayloadOrganization")) or shown(profile.get("PayloadDisplayName")),
        not_after=removal if isinstance(removal, datetime) else None,
        details=details(
            name=shown(profile.get("PayloadDisplayName")),
            identifier=shown(profile.get("PayloadIdentifier")),
            encrypted=True if encrypted is not None else None,
            payloads=_types(payloads),
            topic=shown(mdm.get("Topic")),
            server_URL=_url(mdm.get("ServerURL")),
            check_in_URL=_url(mdm.get("CheckInURL")),
            SCEP_URL=_scep_url(payloads),
            ACME_directory=next((_url(each.get("DirectoryURL")) for each in payloads if each.get("PayloadType") == _ACME), None),
        ),
        warnings=warnings,
        inside=(*inside, *brought[:MOST_INSIDE]),
    )


def _types(payloads: Sequence[Mapping[str, Any]]) -> str:
    kinds = [shown(each.get("PayloadType"), 80) or "(none)" for each in payloads]
    return ", ".join(
        f"{kind} ×{kinds.count(kind)}" if kinds.count(kind) > 1 else kind for kind in list(dict.fromkeys(kinds))[:MOST_INSIDE]
    )


def _scep_url(payloads: Sequence[Mapping[str, Any]]) -> str:
    content = next((each.get("PayloadContent") for each in payloads if each.get("PayloadType") == _SCEP), None)
    return _url(content.get("URL")) if isinstance(content, dict) else ""


def _url(value: object) -> str:
    return shown(addresses.shown(value)) if isinstance(value, str) else ""


def _certificates(payloads: Sequence[Mapping[str, Any]], question: Question) -> tuple[list[Finding], bool]:
    """What the payloads bring, until it is too much to look at, and whether that left some out."""
    found: list[Finding] = []
    opened = 0
    for payload in payloads:
        kind, content = payload.get("PayloadType"), payload.get("PayloadContent")
        if not isinstance(content, bytes) or kind not in (*_CERTIFICATE_PAYLOADS, _PKCS12_PAYLOAD):
            continue
        if len(found) >= MOST_INSIDE:
            return found, True
        if kind == _PKCS12_PAYLOAD:
            opened += 1
            found.append(_identity(payload, content, question) if opened <= KEYS_OPENED else _LOCKED)
        else:
            found += _in_payload(content, question)
    return found, False


def _identity(payload: Mapping[str, Any], content: bytes, question: Question) -> Finding:
    """An archive, opened with the password that the profile brings along for devices; else with the one that was asked with."""
    password = payload.get("Password")
    asked = replace(question, password=password if isinstance(password, str) else question.password)
    return replace(of_archive(content, asked), purpose=_IDENTITY, command="")


def _in_payload(content: bytes, question: Question) -> list[Finding]:
    try:
        pieces = take_apart(content)
    except BadFile as error:
        return [Finding(What.UNKNOWN, "A payload that should hold a certificate.", warnings=(error.message,))]
    certificates = [of_certificate(piece.content, question.now) for piece in pieces if piece.form is Form.CERTIFICATE]
    return certificates or [Finding(What.UNKNOWN, f"A payload that should hold a certificate; it holds {pieces[0].form}.")]
