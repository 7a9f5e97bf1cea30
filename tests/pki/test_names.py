from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from bramley.errors import BadInput
from bramley.pki import names
from bramley.pki.errors import BadName


def test_a_name_holds_its_values_as_utf8_in_the_order_uid_o_cn() -> None:
    name = names.make("Äpfel", organization="Orchard", uid="device-1")

    assert [attribute.oid for attribute in name] == [
        NameOID.USER_ID,
        NameOID.ORGANIZATION_NAME,
        NameOID.COMMON_NAME,
    ]
    assert b"\x0c\x06\xc3\x84pfel" in name.public_bytes()


def test_a_name_is_shown_last_attribute_first() -> None:
    assert names.text(names.make("Root, Orchard", organization="Orchard")) == "CN=Root\\, Orchard,O=Orchard"


def test_a_name_without_attributes_is_shown_as_empty() -> None:
    assert names.text(x509.Name([])) == "(empty)"


def test_a_name_cannot_break_a_line_of_a_log_or_steer_a_terminal() -> None:
    shown = names.text(names.make("a\nERROR forged\x1b[2J\u202e"))

    assert shown == "CN=a\\0aERROR forged\\1b[2J\\e2\\80\\ae"


@pytest.mark.parametrize("common_name", ["", "x" * 65, "ä" * 33])
def test_a_common_name_of_another_length_than_x520_allows_is_refused(common_name: str) -> None:
    with pytest.raises(BadName, match="1 to 64 octets") as caught:
        names.make(common_name)
    assert isinstance(caught.value, BadInput)


def test_an_organization_that_is_too_long_is_refused() -> None:
    with pytest.raises(BadName, match="1 to 64 octets"):
        names.make("Root", organization="x" * 65)
