"""The values of elements, and the writer: asn1crypto reads what we write, and we read what it writes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from asn1crypto import core
from hypothesis import given
from hypothesis import strategies as st

from bramley.pki.cms import ber, der, values
from bramley.pki.cms.errors import Malformed, Refused


@given(st.integers(-(1 << 200), 1 << 200))
def test_integers_are_written_and_read_as_asn1crypto_does(number: int) -> None:
    written = der.integer(number)
    assert written == core.Integer(number).dump()
    assert values.integer(ber.parse(written)) == number


@given(st.integers(0, 2), st.integers(0, 39), st.lists(st.integers(0, 1 << 70), max_size=5))
def test_object_identifiers_are_written_and_read_as_asn1crypto_does(root: int, second: int, rest: list[int]) -> None:
    dotted = ".".join(map(str, (root, second, *rest)))
    written = der.oid(dotted)
    assert written == core.ObjectIdentifier(dotted).dump()
    assert values.oid(ber.parse(written)) == dotted


def test_a_second_arc_above_39_belongs_to_root_2() -> None:
    assert values.oid(ber.parse(der.oid("2.999.3"))) == "2.999.3"
    assert core.ObjectIdentifier.load(der.oid("2.999.3")).dotted == "2.999.3"


@given(st.binary(max_size=300))
def test_strings_of_any_length_are_written_as_asn1crypto_does(content: bytes) -> None:
    assert der.octet_string(content) == core.OctetString(content).dump()


def test_a_set_is_sorted_unless_the_caller_has_an_order() -> None:
    parts = [der.integer(300), der.integer(2)]
    assert der.set_of(parts) == bytes.fromhex("3107 020102 0202012c")
    assert der.set_in_order(parts) == bytes.fromhex("3107 0202012c 020102")


@pytest.mark.parametrize(
    "octets",
    ["0600", "0601 80", "0602 2a80", "0603 2a8001", "0641" + "2a" * 65, "0201 05"],
)
def test_a_malformed_object_identifier_is_refused(octets: str) -> None:
    with pytest.raises(Malformed):
        values.oid(ber.parse(bytes.fromhex(octets)))


@pytest.mark.parametrize("octets", ["0200", "0202 0001", "0202 ff80", "0401 05"])
def test_a_malformed_integer_is_refused(octets: str) -> None:
    with pytest.raises(Malformed):
        values.integer(ber.parse(bytes.fromhex(octets)))


def test_character_strings_are_read_by_their_type() -> None:
    assert values.text(ber.parse(der.printable_string("19"))) == "19"
    assert values.text(ber.parse(der.utf8_string("Äpfel"))) == "Äpfel"
    assert values.text(ber.parse(core.BMPString("Äpfel").dump())) == "Äpfel"
    for octets in ("0c01 ff", "1301 c4", "0401 41"):
        with pytest.raises(Malformed):
            values.text(ber.parse(bytes.fromhex(octets)))


def test_a_printable_string_refuses_other_characters() -> None:
    with pytest.raises(Refused):
        der.printable_string("me@example")


@pytest.mark.parametrize(
    ("moment", "tag"),
    [
        (datetime(1949, 12, 31, 23, 59, 59, tzinfo=UTC), 0x18),
        (datetime(1950, 1, 1, tzinfo=UTC), 0x17),
        (datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC), 0x17),
        (datetime(2050, 1, 1, tzinfo=UTC), 0x18),
        (datetime(2050, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=1))), 0x17),
    ],
)
def test_times_are_utc_time_from_1950_to_2049_and_generalized_time_else(moment: datetime, tag: int) -> None:
    written = der.time(moment)
    assert written[0] == tag
    assert values.moment(written) == moment
    oracle = core.UTCTime if tag == 0x17 else core.GeneralizedTime
    assert oracle.load(written).native == moment


@pytest.mark.parametrize(
    "text",
    ["261124120000", "2611241200Z", "261124120000+0100", "260431120000Z", "261124120060Z", "2611241200 0Z", ""],
)
def test_a_time_in_any_other_form_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        values.moment(ber.parse(der.element(0x17, text.encode())).raw)
    with pytest.raises(Malformed):
        values.moment(der.element(0x18, b"20" + text.encode() + b".5Z"))
