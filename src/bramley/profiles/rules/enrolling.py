"""The rules of SCEP, ACME and MDM payloads beyond their keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from bramley.profiles.payloads import ALL_ACCESS_RIGHTS, TOPIC_PREFIX
from bramley.profiles.rules.finding import Finding, Rule, error, warning, within
from bramley.profiles.rules.keys import Context, Payload

_ACME_SIZES: Final[Mapping[str, frozenset[int]]] = MappingProxyType(
    {"RSA": frozenset(range(1024, 4097, 8)), "ECSECPrimeRandom": frozenset({192, 256, 384, 521})}
)
_HARDWARE_SIZES: Final = (256, 384)
_SIGN, _ENCRYPT = 1, 4
_LEAST_RSA: Final = 2048


def scep(payload: Payload, path: str, context: Context) -> Iterator[Finding]:
    """An RSA key, long enough, that can be used; the URL is one of HTTP, where SCEP protects itself."""
    content, path = payload["PayloadContent"], within(path, "PayloadContent")
    if "{{" not in content["URL"] and not content["URL"].startswith(("https://", "http://")):
        yield error(within(path, "URL"), Rule.HTTP, "Expected an https or http URL; something else came.")
    if content.get("Key Type", "RSA") != "RSA":
        yield error(within(path, "Key Type"), Rule.KEY_TYPE, "Expected RSA, the one type of key that SCEP has.")
    size, usage = content.get("Keysize", 1024), content.get("Key Usage", 0)
    if size < _LEAST_RSA:
        yield warning(within(path, "Keysize"), Rule.KEY_SIZE, f"Expected 2048 bits or more; it is {size}, as it is by default.")
    if usage not in (0, _SIGN, _ENCRYPT, _SIGN | _ENCRYPT):
        words = f"Expected 1 (sign), 4 (encrypt) or 5 (both); {usage} came."
        yield error(within(path, "Key Usage"), Rule.KEY_USAGE, words)
    elif not usage & _ENCRYPT:
        words = f"Expected 5 (sign and encrypt); with {usage} nothing can be encrypted to the device."
        yield warning(within(path, "Key Usage"), Rule.KEY_USAGE, words)


def acme(payload: Payload, path: str, context: Context) -> Iterator[Finding]:
    """A key that exists; in hardware only on a curve that the hardware has; attested only in hardware."""
    kind, size, bound = payload["KeyType"], payload["KeySize"], payload["HardwareBound"]
    if "{{" not in payload["DirectoryURL"] and not payload["DirectoryURL"].startswith("https://"):
        yield error(within(path, "DirectoryURL"), Rule.HTTPS, "Expected an https URL; something else came.")
    if payload.get("Attest") and not bound:
        yield error(within(path, "Attest"), Rule.HARDWARE_BOUND, "Expected HardwareBound with Attest; it is false.")
    if kind not in _ACME_SIZES:
        return  # a variable: which sizes there are nobody can tell
    if size not in _ACME_SIZES[kind]:
        words = f"Expected a size that {kind} keys have; {size} came."
        yield error(within(path, "KeySize"), Rule.KEY_SIZE, words)
    elif kind == "RSA" and size < _LEAST_RSA:
        yield warning(within(path, "KeySize"), Rule.KEY_SIZE, f"Expected 2048 bits or more; {size} came.")
    if bound and (kind != "ECSECPrimeRandom" or size not in _HARDWARE_SIZES):
        words = f"Expected ECSECPrimeRandom with 256 or 384 bits, which hardware can hold; {kind} with {size} came."
        yield error(within(path, "HardwareBound"), Rule.HARDWARE_BOUND, words)


def mdm(payload: Payload, path: str, context: Context) -> Iterator[Finding]:
    """A topic of MDM, and access rights of which none comes without the one that it needs."""
    topic = payload["Topic"]
    if "{{" not in topic and not topic.startswith(TOPIC_PREFIX):
        yield error(within(path, "Topic"), Rule.PUSH_TOPIC, f"Expected a topic that begins with {TOPIC_PREFIX}; another came.")
    rights = payload.get("AccessRights")
    if rights is None:
        return
    if not 0 < rights <= ALL_ACCESS_RIGHTS or (rights & 2 and not rights & 1) or (rights & 128 and not rights & 64):
        words = f"Expected rights from 1 to {ALL_ACCESS_RIGHTS}, 2 only with 1, and 128 only with 64; {rights} came."
        yield error(within(path, "AccessRights"), Rule.ACCESS_RIGHTS, words)
