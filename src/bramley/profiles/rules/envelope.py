"""The keys of the profile itself, and those that every payload has (Apple, "TopLevel" and "CommonPayloadKeys")."""

from __future__ import annotations

from typing import Final

from bramley.mdm.plist import Kind
from bramley.profiles.rules.keys import Key, array, boolean, data, date, dictionary, integer, text

_NAMES: Final = tuple(
    text(name, required=True, fixed=True, form=r"(?s).+", form_words="a text that is not empty")
    for name in ("PayloadIdentifier", "PayloadUUID")
)
_WORDS: Final = (text("PayloadDescription"), text("PayloadDisplayName"), text("PayloadOrganization"))

COMMON: Final[tuple[Key, ...]] = (
    *_NAMES,
    text("PayloadType", required=True, fixed=True),
    integer("PayloadVersion", required=True, one_of=(1,)),
    *_WORDS,
)
"""What a payload has besides the keys of its type."""

TOP_LEVEL: Final[tuple[Key, ...]] = (
    *_NAMES,
    text("PayloadType", required=True, one_of=("Configuration",)),
    integer("PayloadVersion", required=True, one_of=(1,)),
    array("PayloadContent", dictionary()),
    boolean("IsEncrypted"),
    data("EncryptedPayloadContent"),
    *_WORDS,
    boolean("HasRemovalPasscode"),
    boolean("PayloadRemovalDisallowed", on="visionOS no, watchOS no", ue="iOS forbidden"),
    text("PayloadScope", one_of=("System", "User"), fixed=True, on="macOS 10.8"),
    date("RemovalDate"),
    Key("DurationUntilRemoval", Kind.REAL),
    date("PayloadExpirationDate", on="watchOS no"),
    integer(
        "TargetDeviceType",
        one_of=(0, 1, 2, 3, 4, 5, 6),
        default=0,
        on="iOS 12.2, macOS 10.15, tvOS 12.2, visionOS 1.1, watchOS 5.2",
    ),
    dictionary("ConsentText"),
)
"""What a profile has around its payloads; that it has payloads, encrypted or not, is a rule of `structure`."""
