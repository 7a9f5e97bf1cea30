"""Every target on its corpus and a few thousand changes of it, without atheris: what `make fuzz` does by the million."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from .targets import MOST_BYTES, TARGETS
from .world import CORPUS

CHANGES = 2_000
OCTETS = bytes.fromhex("00 01 02 04 06 24 30 31 80 81 82 84 a0 a1 ff") + b"<>&%+= \n"

pytestmark = pytest.mark.filterwarnings("ignore")  # what `cryptography` has to say about odd certificates


def seeds(target: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((CORPUS / target).iterdir())]


def changed(data: bytes, dice: random.Random) -> bytes:
    """The octets after one to four small changes."""
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(data) + 1)
        before, after = data[:at], data[at:]
        octet = bytes((dice.choice(OCTETS) if dice.random() < 0.5 else dice.randrange(256),))
        match dice.choice(["set", "set", "insert", "delete", "repeat", "cut"]):
            case "set":
                data = before + octet + after[1:]
            case "insert":
                data = before + octet * dice.randint(1, 8) + after
            case "delete":
                data = before + after[dice.randint(1, 8) :]
            case "repeat":
                data = before + after[: dice.randint(1, 40)] + after
            case _:
                data = before
    return data


def test_every_target_has_a_corpus_and_every_corpus_a_target() -> None:
    assert {folder.name for folder in CORPUS.iterdir()} == set(TARGETS)


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus_reaches_the_end(target: str) -> None:
    """Or nearly everything would be refused at the first gate, and a million executions say nothing of what lies behind."""
    assert any([TARGETS[target](seed) for seed in seeds(target)])  # noqa: C419 - each of them is tried
    assert all(len(seed) <= MOST_BYTES for seed in seeds(target))


@pytest.mark.parametrize("target", TARGETS)
def test_changes_of_the_corpus_are_taken_or_refused_on_purpose(target: str) -> None:
    pool, dice = seeds(target), random.Random(target)
    taken = sum(TARGETS[target](changed(dice.choice(pool), dice)) for _ in range(CHANGES))
    assert taken < CHANGES


@pytest.mark.parametrize("target", TARGETS)
def test_noise_is_taken_or_refused_on_purpose(target: str) -> None:
    dice = random.Random(target)
    for length in range(200):
        TARGETS[target](dice.randbytes(length))


def test_an_error_that_no_package_raises_on_purpose_is_a_finding(tmp_path: Path) -> None:
    """The guard itself can fail."""
    broken = type(TARGETS["csr"])(lambda data: 1 // len(data), TARGETS["csr"].refusals)
    with pytest.raises(ZeroDivisionError):
        broken(b"")
