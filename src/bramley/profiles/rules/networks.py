"""The rules of Wi-Fi, VPN and mail payloads beyond their keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from bramley.profiles.rules.finding import Finding, Rule, error, warning, within
from bramley.profiles.rules.keys import Context, Payload

_EAP_TLS: Final = 13
_PART_OF: Final[Mapping[str, str]] = MappingProxyType(
    {each: each for each in ("VPN", "IPSec", "IKEv2", "AlwaysOn", "TransparentProxy")} | {"L2TP": "PPP"}
)
_WEAK_GROUPS: Final = frozenset({1, 2, 5})
_WEAK_CIPHERS: Final = frozenset({"DES", "3DES"})


def wifi(payload: Payload, path: str, context: Context) -> Iterator[Finding]:
    """A network by name or by Hotspot 2.0; EAP-TLS with an identity, and a server that is known before one connects."""
    if "SSID_STR" not in payload and "DomainName" not in payload:
        yield error(within(path, "SSID_STR"), Rule.NEEDS, "Expected SSID_STR, or DomainName for Hotspot 2.0; neither came.")
    eap = payload.get("EAPClientConfiguration")
    if eap is None:
        return
    at = within(path, "EAPClientConfiguration")
    if not eap["AcceptEAPTypes"]:
        yield error(within(at, "AcceptEAPTypes"), Rule.NEEDS, "Expected at least one EAP type; none came.")
    if _EAP_TLS in eap["AcceptEAPTypes"] and "PayloadCertificateUUID" not in payload:
        words = "Expected PayloadCertificateUUID with EAP-TLS (13); without it a person has to choose an identity."
        yield warning(within(path, "PayloadCertificateUUID"), Rule.NEEDS, words)
    if not eap.get("PayloadCertificateAnchorUUID") and not eap.get("TLSTrustedServerNames"):
        words = "Expected PayloadCertificateAnchorUUID or TLSTrustedServerNames; without them a person has to judge the server."
        yield warning(within(at, "TLSTrustedServerNames"), Rule.NEEDS, words)
    yield from _versions(eap, at)


def vpn(payload: Payload, path: str, context: Context) -> Iterator[Finding]:
    """The part that the type of VPN needs, and the identity or secret that its way of authentication needs."""
    name = _PART_OF.get(payload["VPNType"])
    if name is None:
        return  # a variable: which part it needs nobody can tell
    if name not in payload:
        yield error(within(path, name), Rule.NEEDS, f"Expected {name} with the VPNType {payload['VPNType']}; there is none.")
        return
    part, at = payload[name], within(path, name)
    method = part.get("AuthenticationMethod", "")
    if "Certificate" in method and "PayloadCertificateUUID" not in part:
        words = f"Expected PayloadCertificateUUID with the AuthenticationMethod {method}; there is none."
        yield error(within(at, "PayloadCertificateUUID"), Rule.NEEDS, words)
    if name == "IKEv2":
        if method == "SharedSecret" and "SharedSecret" not in part:
            words = "Expected SharedSecret with the AuthenticationMethod SharedSecret; there is none."
            yield error(within(at, "SharedSecret"), Rule.NEEDS, words)
        yield from _versions(part, at)
        for association in ("IKESecurityAssociationParameters", "ChildSecurityAssociationParameters"):
            yield from _association(part.get(association, {}), within(at, association))


def mail(payload: Payload, path: str, context: Context) -> Iterator[Finding]:
    """S/MIME with the identities that it signs and decrypts with."""
    for switch, key in (
        ("SMIMESigningEnabled", "SMIMESigningCertificateUUID"),
        ("SMIMEEncryptionEnabled", "SMIMEEncryptionCertificateUUID"),
    ):
        if payload.get(switch) and key not in payload:
            words = f"Expected {key} with {switch}; without it a person has to choose an identity."
            yield warning(within(path, key), Rule.NEEDS, words)


def _versions(part: Mapping[str, Any], path: str) -> Iterator[Finding]:
    # the versions are texts of one digit, a point and one digit, and so in order as texts
    least, most = part.get("TLSMinimumVersion", "1.0"), part.get("TLSMaximumVersion", "1.2")
    if "{{" not in least + most and least > most:
        words = f"Expected TLSMinimumVersion to be TLSMaximumVersion at most, which is 1.2 by default; {least} and {most} came."
        yield error(within(path, "TLSMinimumVersion"), Rule.NEEDS, words)


def _association(part: Mapping[str, Any], path: str) -> Iterator[Finding]:
    if part.get("DiffieHellmanGroup") in _WEAK_GROUPS:
        yield warning(within(path, "DiffieHellmanGroup"), Rule.STRENGTH, "Expected group 14 or higher; a weak one came.")
    if part.get("EncryptionAlgorithm") in _WEAK_CIPHERS:
        yield warning(within(path, "EncryptionAlgorithm"), Rule.STRENGTH, "Expected AES or ChaCha20; a weak cipher came.")
