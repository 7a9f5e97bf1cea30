"""The developer portal: MDM vendor certificates for members of the Apple Developer Enterprise Program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from cryptography import x509

from bramley.clock import Clock
from bramley.pki import certificates
from bramley.sandbox.apple_ca import GENERATIONS, YEAR, SandboxAppleCA
from bramley.sandbox.portals.errors import LimitReached, NotAMember, NotVisible, PortalRefused
from bramley.sandbox.portals.vendors import Vendor, new_csr, read_csr, rsa_key

MOST_VENDOR_CERTIFICATES: Final = 3
"""How many MDM CSR certificates an account may have in force."""

_LONGEST_ORGANIZATION: Final = 64 - len("MDM Vendor: ")
_LONG_AGO: Final = YEAR + timedelta(days=35)


@dataclass(slots=True)
class Membership:
    """An account of the portal and what was issued to it, oldest first."""

    organization: str
    enterprise: bool
    issued: list[x509.Certificate] = field(default_factory=list)
    revoked: set[str] = field(default_factory=set)
    """SHA-256 fingerprints."""


class DeveloperPortal:
    """Issues vendor certificates, and knows which of them are revoked. `members` is what it remembers."""

    def __init__(self, ca: SandboxAppleCA, clock: Clock, members: dict[str, Membership] | None = None) -> None:
        self._ca, self._clock = ca, clock
        self._members = {} if members is None else members

    @property
    def members(self) -> Mapping[str, Membership]:
        """Every account by name."""
        return self._members

    def sign_up(self, account: str, *, organization: str | None = None, enterprise: bool = False) -> None:
        """A new account, or another membership for one that exists. `organization` is named in its certificates."""
        name = organization or account
        if not 1 <= len(name) <= _LONGEST_ORGANIZATION:
            raise PortalRefused(f"The organization's name must have 1 to {_LONGEST_ORGANIZATION} characters.")
        member = self._members.setdefault(account, Membership(name, enterprise))
        member.organization, member.enterprise = name, enterprise

    def issue_vendor(self, account: str, csr: bytes, *, generation: str = GENERATIONS[0]) -> bytes:
        """The vendor certificate for a request in PEM or DER: DER, as the portal's `.cer` downloads are.

        Raises NotAMember without an Enterprise membership, LimitReached for a fourth certificate in force, and PortalRefused
        for a request that is none.
        """
        member = self._member(account)
        if not member.enterprise:
            raise NotAMember(
                "MDM CSR certificates are for members of the Apple Developer Enterprise Program.",
                advice="Sign in with an account that has this membership.",
            )
        _, key = read_csr(csr)
        now = self._clock.now()
        live = [
            each for each in member.issued if each.not_valid_after_utc >= now and certificates.sha256(each) not in member.revoked
        ]
        if len(live) >= MOST_VENDOR_CERTIFICATES:
            raise LimitReached(
                f"You already have {len(live)} MDM CSR certificates; that is the most an account may have.",
                advice="Revoke one first.",
            )
        issued = self._ca.issue_vendor_certificate(key, organization=member.organization, now=now, generation=generation)
        member.issued.append(issued)
        return certificates.der(issued)

    def revoke(self, account: str, certificate: x509.Certificate) -> None:
        """Revokes a certificate of the account. Raises NotVisible for any other."""
        member = self._member(account)
        if certificate not in member.issued:
            raise NotVisible("This account has no such certificate.")
        member.revoked.add(certificates.sha256(certificate))

    def is_revoked(self, certificate: x509.Certificate) -> bool:
        """Whether the vendor certificate is revoked."""
        return any(certificates.sha256(certificate) in member.revoked for member in self._members.values())

    def _member(self, account: str) -> Membership:
        if (member := self._members.get(account)) is None:
            raise NotAMember(f"There is no account {account}.", advice="Sign up first.")
        return member


@dataclass(slots=True)
class VendorRecords:
    """A vendor's certificate and key, None before the first use; while `neglected` is there, that is what it signs with."""

    vendor: Vendor | None = None
    neglected: Vendor | None = None


class StandingVendor:
    """A vendor of the sandbox's own, an account of the developer portal. It renews its certificate by itself, each year."""

    def __init__(
        self, organization: str, ca: SandboxAppleCA, developer: DeveloperPortal, clock: Clock, records: VendorRecords
    ) -> None:
        self._organization, self._ca, self._developer, self._clock = organization, ca, developer, clock
        self._records = records

    def current(self) -> Vendor:
        """What it signs with now."""
        if self._records.neglected is not None:
            return self._records.neglected
        found = self._records.vendor
        if found is None or found.certificate.not_valid_after_utc < self._clock.now():
            key = rsa_key()
            self._developer.sign_up(self._organization, enterprise=True)
            issued = self._developer.issue_vendor(self._organization, new_csr(key, self._organization))
            found = self._records.vendor = Vendor(certificates.load(issued), key)
        return found

    def neglect(self) -> None:
        """Its certificate has expired, and it signs on with that until `attend`."""
        key, then = rsa_key(), self._clock.now() - _LONG_AGO
        expired = self._ca.issue_vendor_certificate(key.public_key(), organization=self._organization, now=then)
        self._records.neglected = Vendor(expired, key)

    def attend(self) -> None:
        """It has a certificate in force again."""
        self._records.neglected = None
