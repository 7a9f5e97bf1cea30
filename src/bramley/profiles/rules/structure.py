"""What makes a property list a configuration profile that can be handled at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from bramley.mdm.plist import kind_of
from bramley.pki.forms import Form, form_of
from bramley.profiles.rules.finding import Finding, Rule, error
from bramley.profiles.rules.keys import Payload

MDM: Final = "com.apple.mdm"


def faults(profile: Payload) -> Iterator[Finding]:
    """Why it is no profile: its names, its payloads or their encrypted stand-in, and one MDM payload at most."""
    kind = profile.get("PayloadType")
    if kind != "Configuration":
        came = repr(kind[:80]) if isinstance(kind, str) else "none" if kind is None else kind_of(kind)
        yield error("PayloadType", Rule.IS_A_PROFILE, f"Expected the PayloadType Configuration; {came} came.")
        return
    for name in ("PayloadIdentifier", "PayloadUUID"):
        if not isinstance(profile.get(name), str) or not profile[name]:
            yield error(name, Rule.IS_A_PROFILE, f"Expected a {name}; there is none, or it is no text.")
    encrypted = profile.get("EncryptedPayloadContent")
    if encrypted is not None:
        yield from _encrypted(profile, encrypted)
    else:
        yield from _payloads(profile)


def payloads_of(profile: Payload) -> list[Payload]:
    """Those of PayloadContent that can be read, which an encrypted profile has none of."""
    content = profile.get("PayloadContent")
    return [each for each in content if isinstance(each, dict)] if isinstance(content, list) else []


def _encrypted(profile: Payload, encrypted: Any) -> Iterator[Finding]:
    if not isinstance(encrypted, bytes) or form_of(encrypted) is not Form.ENVELOPED:
        yield error(
            "EncryptedPayloadContent",
            Rule.ENCRYPTED_IS_CMS,
            "Expected an encrypted CMS message (EnvelopedData) in EncryptedPayloadContent; something else came.",
        )
    if "PayloadContent" in profile:
        yield error(
            "PayloadContent", Rule.HAS_PAYLOADS, "Expected PayloadContent or EncryptedPayloadContent; both came, in one profile."
        )


def _payloads(profile: Payload) -> Iterator[Finding]:
    content = profile.get("PayloadContent")
    if not isinstance(content, list):
        came = "there is none" if content is None else f"it is a {kind_of(content)}"
        yield error("PayloadContent", Rule.HAS_PAYLOADS, f"Expected an array of payloads in PayloadContent; {came}.")
        return
    for at, payload in enumerate(content):
        if not isinstance(payload, dict):
            yield error(f"PayloadContent[{at}]", Rule.TYPE, f"Expected a dictionary as a payload; a {kind_of(payload)} came.")
    managing = [at for at, each in enumerate(content) if isinstance(each, dict) and each.get("PayloadType") == MDM]
    if len(managing) > 1:
        yield error(
            f"PayloadContent[{managing[1]}].PayloadType",
            Rule.ONE_MDM_PAYLOAD,
            f"Expected one payload of the type {MDM} at most; there are {len(managing)}.",
        )
