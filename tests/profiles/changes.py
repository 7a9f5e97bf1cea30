"""Changes to an enrollment profile, one at a time: those that devices refuse in a replacement, and those that they take."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from bramley.profiles.immutable import PER_USER_CONNECTIONS

Profile = dict[str, Any]
Change = Callable[[Profile, Profile], object]
"""Is given the profile and its MDM payload, and changes one of them."""

REFUSED: dict[str, tuple[Change, str, str]] = {
    "topic": (lambda _, mdm: mdm.update(Topic="com.apple.mgmt.External.other"), "Topic", "immutable"),
    "server": (lambda _, mdm: mdm.update(ServerURL="https://elsewhere.example/mdm"), "ServerURL", "immutable"),
    "port": (
        lambda _, mdm: mdm.update(ServerURL=mdm["ServerURL"].replace("/mdm", ":444/mdm", 1) + "/"),
        "ServerURL",
        "immutable",
    ),
    "query": (lambda _, mdm: mdm.update(ServerURL=f"{mdm['ServerURL']}?group=staff"), "ServerURL", "immutable"),
    "case": (lambda _, mdm: mdm.update(ServerURL=mdm["ServerURL"].replace("http", "HTTP", 1)), "ServerURL", "immutable"),
    "check-in": (lambda _, mdm: mdm.update(CheckInURL="https://elsewhere.example/checkin"), "CheckInURL", "immutable"),
    "no check-in": (lambda _, mdm: mdm.pop("CheckInURL"), "CheckInURL", "immutable"),
    "account": (lambda _, mdm: mdm.update(AssignedManagedAppleID="jo@orchard.example"), "AssignedManagedAppleID", "immutable"),
    "mode": (lambda _, mdm: mdm.update(EnrollmentMode="BYOD"), "EnrollmentMode", "immutable"),
    "app": (lambda _, mdm: mdm.update(RequiredAppIDForMDM=361309726), "RequiredAppIDForMDM", "immutable"),
    "users": (lambda _, mdm: _toggle(mdm), "ServerCapabilities", "immutable"),
    "right": (lambda _, mdm: mdm.update(AccessRights=mdm["AccessRights"] | 1 << 13), "AccessRights", "rights-never-grow"),
    "other right": (lambda _, mdm: mdm.update(AccessRights=1 << 13), "AccessRights", "rights-never-grow"),
    "identifier": (lambda profile, _: profile.update(PayloadIdentifier="example.other"), "PayloadIdentifier", "same-identifier"),
}

TAKEN: dict[str, Change] = {
    "nothing": lambda _profile, _mdm: None,
    "fewer rights": lambda _, mdm: mdm.update(AccessRights=3),
    "UUIDs": lambda profile, mdm: (profile.update(PayloadUUID="P-2"), mdm.update(PayloadUUID="M-2")),
    "names": lambda profile, mdm: (profile.update(PayloadDisplayName="x"), mdm.update(PayloadIdentifier="x")),
    "another capability": lambda _, mdm: mdm.setdefault("ServerCapabilities", []).append("com.apple.mdm.bootstraptoken"),
    "no CheckOut": lambda _, mdm: mdm.update(CheckOutWhenRemoved=False),
    "development": lambda _, mdm: mdm.update(UseDevelopmentAPNS=True),
}  # fmt: skip


def changed(profile: Profile, change: Change) -> Profile:
    """The profile with a change."""
    made = copy.deepcopy(profile)
    change(made, made["PayloadContent"][place(made)])
    return made


def place(profile: Mapping[str, Any]) -> int:
    """Where the MDM payload stands."""
    (at,) = [at for at, each in enumerate(profile["PayloadContent"]) if each["PayloadType"] == "com.apple.mdm"]
    return at


def path(profile: Mapping[str, Any], key: str) -> str:
    """The path of a key of the table."""
    return key if key == "PayloadIdentifier" else f"PayloadContent[{place(profile)}].{key}"


def _toggle(mdm: Profile) -> None:
    has = list(mdm.get("ServerCapabilities", ()))
    others = [each for each in has if each != PER_USER_CONNECTIONS]
    mdm["ServerCapabilities"] = others if others != has else [*others, PER_USER_CONNECTIONS]
