"""Everything that can be set, and where it is read from."""

from bramley.settings.loading import OTHER_VARIABLES, load
from bramley.settings.tree import (
    SCEP,
    DeviceListen,
    Enrollment,
    Explained,
    Identity,
    Limits,
    Listen,
    Log,
    Proxy,
    Push,
    Settings,
    default_data_folder,
    explain,
)

__all__ = [
    "OTHER_VARIABLES",
    "SCEP",
    "DeviceListen",
    "Enrollment",
    "Explained",
    "Identity",
    "Limits",
    "Listen",
    "Log",
    "Proxy",
    "Push",
    "Settings",
    "default_data_folder",
    "explain",
    "load",
]
