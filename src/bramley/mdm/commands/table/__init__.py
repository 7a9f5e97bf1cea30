"""The table of commands: what is known of each RequestType, in one place.

The facts are those of Apple's published schema for iOS 18.1 and macOS 15.1. Left out on purpose: since when a key is deprecated,
what Shared iPad makes of it, and on which systems a device tells the keys of an answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from bramley.mdm.commands.table.acting import ACTIONS
from bramley.mdm.commands.table.asking import QUERIES
from bramley.mdm.commands.table.information import DEVICE_INFORMATION
from bramley.mdm.commands.table.keys import AccessRight, Fill, Key, RequestType
from bramley.mdm.commands.table.profiles import PROFILES
from bramley.mdm.commands.table.settings import SETTINGS
from bramley.mdm.commands.table.setup import SETUP
from bramley.mdm.plist import Kind

__all__ = ["TABLE", "AccessRight", "Fill", "Key", "Kind", "RequestType"]

TABLE: Final[Mapping[str, RequestType]] = MappingProxyType(
    {each.name: each for each in (*PROFILES, DEVICE_INFORMATION, *QUERIES, *ACTIONS, SETTINGS, *SETUP)}
)
"""By RequestType."""
