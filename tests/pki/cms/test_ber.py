"""The BER reader: what it reads, what it refuses, and that no input costs more than the limits allow."""

from __future__ import annotations

import time

import pytest

from bramley.pki.cms import ber, values
from bramley.pki.cms.ber import Limits
from bramley.pki.cms.errors import Malformed, TooDeep, TooLarge


def hexed(text: str) -> bytes:
    return bytes.fromhex(text)


def test_a_sequence_shows_its_children_as_they_stand() -> None:
    root = ber.parse(hexed("30 07 02 01 05 04 02 61 62"))
    number, string = root.children
    assert root.tag == ber.SEQUENCE
    assert (number.raw, number.content) == (hexed("02 01 05"), b"\x05")
    assert (values.integer(number), values.octets(string)) == (5, b"ab")


def test_indefinite_lengths_nest_and_keep_their_octets() -> None:
    root = ber.parse(hexed("30 80 30 80 02 01 05 00 00 02 01 06 00 00"))
    inner, number = root.children
    assert inner.raw == hexed("30 80 02 01 05 00 00")
    assert values.integer(inner.children[0]) == 5
    assert values.integer(number) == 6


def test_lengths_may_have_needless_octets() -> None:
    assert values.octets(ber.parse(hexed("04 84 00 00 00 02 61 62"))) == b"ab"
    assert values.octets(ber.parse(hexed("04 81 02 61 62"))) == b"ab"


def test_pieces_of_a_string_are_joined_at_any_depth() -> None:
    assert values.octets(ber.parse(hexed("24 80 04 01 61 24 04 04 02 62 63 04 00 04 01 64 00 00"))) == b"abcd"
    assert values.octets(ber.parse(hexed("a0 06 04 01 61 04 01 62")), 0x80) == b"ab"


def test_tags_of_several_octets_are_read() -> None:
    root = ber.parse(hexed("bf 81 01 03 02 01 07"))
    assert root.tag == 0xBF8101
    assert values.integer(root.children[0]) == 7


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        ("", "nothing"),
        ("30", "no length"),
        ("30 82 01", "a length cut short"),
        ("30 05 02 01", "contents cut short"),
        ("02 01 05 00", "an octet after the element"),
        ("02 01 05 02 01 06", "two elements"),
        ("30 03 02 02 05", "a child longer than its parent"),
        ("04 80 61 00 00", "a primitive of indefinite length"),
        ("30 80 02 01 05", "no end-of-contents"),
        ("30 80 02 01 05 00", "half an end-of-contents"),
        ("30 80 02 01 05 00 01", "an end-of-contents that is not empty"),
        ("30 02 00 00", "end-of-contents in a definite length"),
        ("30 04 30 80 00 00 00 00", "an indefinite child that ends outside its parent"),
        ("04 ff 00", "the reserved length"),
        ("04 89 00 00 00 00 00 00 00 00 01 61", "a length of nine octets"),
        ("04 88 ff ff ff ff ff ff ff ff 61", "a length beyond everything"),
        ("1f 1e 00", "a short tag in the long form"),
        ("1f 80 81 00 00", "a tag with needless octets"),
        ("1f ff ff ff ff ff 7f 00", "a tag without end"),
    ],
)
def test_nonsense_is_refused(octets: str, why: str) -> None:
    def read_everything(node: ber.Node) -> None:
        if node.tag & ber.CONSTRUCTED:
            for child in node.children:
                read_everything(child)

    with pytest.raises(Malformed):
        read_everything(ber.parse(hexed(octets)))


def test_a_primitive_has_no_children() -> None:
    with pytest.raises(Malformed, match="primitive"):
        _ = ber.parse(hexed("04 03 02 01 05")).children


@pytest.mark.parametrize("levels", [65, 10_000, 1_000_000])
def test_indefinite_nesting_is_refused_quickly(levels: int) -> None:
    begun = time.process_time()
    with pytest.raises(Malformed):
        ber.parse(b"\x30\x80" * levels + b"\x00\x00" * levels)
    assert time.process_time() - begun < 0.5


def test_sixty_four_open_levels_are_read() -> None:
    root = ber.parse(b"\x30\x80" * 64 + b"\x00\x00" * 64)
    for _ in range(63):
        (root,) = root.children
    assert root.children == []


def test_definite_nesting_costs_nothing_until_it_is_read() -> None:
    nested = b""
    for _ in range(10_000):
        size = len(nested)
        nested = b"\x30\x84" + size.to_bytes(4, "big") + nested
    assert len(ber.parse(nested).children) == 1


def test_a_string_in_pieces_of_pieces_is_refused_beyond_the_limit() -> None:
    nested = b"\x04\x01a"
    for _ in range(10_000):
        nested = b"\x24\x84" + len(nested).to_bytes(4, "big") + nested
    with pytest.raises(TooDeep):
        values.octets(ber.parse(nested))
    with pytest.raises(TooDeep):
        ber.parse(b"\x24\x80" * 100 + b"\x04\x01a" + b"\x00\x00" * 100)


def test_a_message_over_the_size_limit_is_not_read() -> None:
    with pytest.raises(TooLarge):
        ber.parse(bytes(17), Limits(size=16))


def test_a_message_of_too_many_elements_is_refused() -> None:
    many = b"\x05\x00" * 100_001
    with pytest.raises(TooLarge):
        _ = ber.parse(b"\x30\x83" + len(many).to_bytes(3, "big") + many).children
    with pytest.raises(TooLarge):
        ber.parse(b"\x30\x80" + many + b"\x00\x00")


def test_each_octet_is_scanned_once_however_deep_it_lies() -> None:
    # 60 levels around 90,000 elements: scanned at every level they would be five million, and over the limit
    root = ber.parse(b"\x30\x80" * 60 + b"\x05\x00" * 90_000 + b"\x00\x00" * 60)
    for _ in range(59):
        (root,) = root.children
    assert root.stop - root.body == 180_000
