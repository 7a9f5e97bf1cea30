"""A request from what a person says: keys by Apple's names, with values as JSON has them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

from bramley.mdm.commands.finding import BadCommand, Rule, error, within
from bramley.mdm.commands.passwords import password_hash
from bramley.mdm.commands.requests import Raw
from bramley.mdm.commands.table import TABLE, Key, Kind
from bramley.mdm.commands.table.settings import ITEMS
from bramley.mdm.errors import BadValue
from bramley.mdm.plist import MAX_DEPTH, Writable

_SETTINGS: Final = "Settings"
_ACCOUNTS: Final = "AutoSetupAdminAccounts"


def build(request_type: str, given: Mapping[str, Any], *, password: str | None = None) -> Raw:
    """The request of this type with these keys; whether they are right is for `require` to say.

    Where the table has data, text is base64. Settings are given by the names of the items, each with its value, as in
    `{"DeviceName": "Reception", "Bluetooth": false}`. `password` becomes the passwordHash of the account that
    AccountConfiguration makes. Raises BadCommand for text that is no base64, BadValue for a password without an account and for
    what is nested deeper than property lists are.
    """
    values = dict(given)
    if request_type == _SETTINGS and _SETTINGS not in values:
        values = {_SETTINGS: [_setting(name, value) for name, value in values.items()]}
    if password is not None:
        values[_ACCOUNTS] = _with_password(request_type, values.get(_ACCOUNTS), password)
    known = TABLE.get(request_type)
    keys = {key.name: key for key in known.keys} if known is not None else {}
    read = {name: _read(request_type, keys.get(name), value, name) for name, value in values.items()}
    return Raw(request_type, {"RequestType": request_type, **read})


def _setting(name: str, value: Any) -> dict[str, Any]:
    """An item by its name: the value goes under the key that is named like it, or under Enabled; or it is the item's keys."""
    item = next((each for each in ITEMS if each.name == name), None)
    keys = {key.name for key in item.keys} if item is not None else set()
    place = next((key for key in (name, "Enabled") if key in keys), None)
    if isinstance(value, Mapping) and (place is None or place in value):
        return {"Item": name, **value}
    return {"Item": name, place or "Value": value}


def _with_password(request_type: str, accounts: Any, password: str) -> list[Any]:
    """The accounts, of which the first one, the only one that macOS makes, gets the password."""
    if not isinstance(accounts, list) or not accounts or not isinstance(accounts[0], Mapping):
        raise BadValue(
            f"Expected an account in {_ACCOUNTS} for the password; {request_type} has none.",
            advice=f'Add {_ACCOUNTS}:=[{{"shortName": "admin"}}].',
        )
    return [{**accounts[0], "passwordHash": password_hash(password)}, *accounts[1:]]


def _read(request_type: str, key: Key | None, value: Any, path: str, depth: int = 1) -> Writable:
    """A value of JSON in a property list's types, as far as the table says which."""
    if depth > MAX_DEPTH:
        raise BadValue(f"Expected containers nested at most {MAX_DEPTH} deep; deeper ones came.")
    if isinstance(value, Mapping):
        keys = {each.name: each for each in key.keys} if key is not None else {}
        return {name: _read(request_type, keys.get(name), item, within(path, name), depth + 1) for name, item in value.items()}
    if isinstance(value, list):
        return [_read(request_type, _inner(key, item), item, f"{path}[{at}]", depth + 1) for at, item in enumerate(value)]
    if isinstance(value, str) and key is not None and key.kind is Kind.DATA:
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            words = "Expected data in base64; something else came."
            raise BadCommand(request_type, error(path, Rule.TYPE, words)) from None
    written: Writable = value
    return written


def _inner(key: Key | None, item: Any) -> Key | None:
    if key is None:
        return None
    if key.choices and isinstance(item, Mapping) and isinstance(name := item.get("Item"), str):
        return key.choices.get(name)
    return key.items
