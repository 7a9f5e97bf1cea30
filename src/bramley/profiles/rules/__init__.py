"""What is known of payloads: a table of their keys, by type, with the rules that a table cannot say.

The facts are those of Apple's published schema for iOS 18.1 and macOS 15.1. `TYPES` is the table, `TOP_LEVEL` and `COMMON` are
the keys around it. `finding` and `systems` have the words for what is wrong, and where.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from bramley.mdm.plist import Kind
from bramley.model.systems import System, Target
from bramley.profiles.rules.certificates import CERTIFICATE_TYPES
from bramley.profiles.rules.envelope import COMMON, TOP_LEVEL
from bramley.profiles.rules.finding import Finding, Rule, Severity
from bramley.profiles.rules.identities import IDENTITY_TYPES
from bramley.profiles.rules.keys import Key, PayloadType
from bramley.profiles.rules.mail import MAIL
from bramley.profiles.rules.vpn import VPN
from bramley.profiles.rules.wifi import WIFI

__all__ = ["COMMON", "TOP_LEVEL", "TYPES", "Finding", "Key", "Kind", "PayloadType", "Rule", "Severity", "System", "Target"]

TYPES: Final[Mapping[str, PayloadType]] = MappingProxyType(
    {each.name: each for each in (*CERTIFICATE_TYPES, *IDENTITY_TYPES, WIFI, VPN, MAIL)}
)
"""The table, by PayloadType."""
