"""Distinguished names: how ours are made and how any name is shown (RFC 5280 4.1.2.4, RFC 4514)."""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import NameOID

from bramley.pki.errors import BadName

EMPTY = "(empty)"
"""How a name without attributes is shown; real devices do send such certificates."""


def make(common_name: str, *, organization: str | None = None, uid: str | None = None) -> x509.Name:
    """A name of UTF8Strings in the order UID, O, CN.

    Raises BadName where a value is empty or longer than 64 octets (RFC 5280 appendix A.1; the UID may have 256,
    RFC 4519 2.39).
    """
    given = (
        (NameOID.USER_ID, uid, 256),
        (NameOID.ORGANIZATION_NAME, organization, 64),
        (NameOID.COMMON_NAME, common_name, 64),
    )
    attributes: list[x509.NameAttribute[str]] = []
    for oid, value, longest in given:
        if value is None:
            continue
        if not 1 <= len(value.encode()) <= longest:
            raise BadName(
                f"A name's value should have 1 to {longest} octets; {value!r} has {len(value.encode())}.",
                advice="Choose a shorter one.",
            )
        attributes.append(x509.NameAttribute(oid, value))
    return x509.Name(attributes)


def text(name: x509.Name) -> str:
    """The name as people read it (RFC 4514, last attribute first); a name without attributes is "(empty)".

    Names come from devices and go to logs and terminals, so characters that do not print are written as the
    hexadecimal pairs of their UTF-8 octets (RFC 4514 2.4).
    """
    shown = name.rfc4514_string()
    if not shown:
        return EMPTY
    return "".join(character if character.isprintable() else _hex_pairs(character) for character in shown)


def _hex_pairs(character: str) -> str:
    return "".join(f"\\{octet:02x}" for octet in character.encode("utf-8", "surrogatepass"))
