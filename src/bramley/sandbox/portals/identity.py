"""The push certificates portal, identity.apple.com/pushcert: where an account gets a topic, and keeps it by renewing."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from bramley.clock import Clock
from bramley.sandbox.apple_ca import SandboxAppleCA, new_topic
from bramley.sandbox.portals.errors import NotAMember, NotVisible, PortalRefused
from bramley.sandbox.portals.upload import IsRevoked, verify


@dataclass(slots=True)
class PushCertificates:
    """A row of the portal: one topic, the account that owns it, every certificate issued for it (newest last)."""

    topic: str
    account: str
    issued: list[x509.Certificate]
    revoked: bool = False

    @property
    def newest(self) -> x509.Certificate:
        return self.issued[-1]


@dataclass(slots=True)
class IdentityRecords:
    """What the portal remembers."""

    accounts: set[str] = field(default_factory=set)
    rows: dict[str, PushCertificates] = field(default_factory=dict)


class IdentityPortal:
    """Issues push certificates for a year to Apple Accounts. Every upload is checked as Apple checks it.

    `is_revoked` tells of vendor certificates. Each method raises NotAMember for an account that nobody has.
    """

    def __init__(self, ca: SandboxAppleCA, clock: Clock, is_revoked: IsRevoked, records: IdentityRecords | None = None) -> None:
        self._ca, self._clock, self._is_revoked = ca, clock, is_revoked
        self._records = IdentityRecords() if records is None else records

    def sign_up(self, account: str) -> None:
        """The Apple Account exists from now on."""
        self._records.accounts.add(account)

    @property
    def accounts(self) -> frozenset[str]:
        """Every Apple Account that there is."""
        return frozenset(self._records.accounts)

    def create(self, account: str, file: bytes) -> x509.Certificate:
        """A certificate with a NEW topic. Raises UploadRefused."""
        self._require(account)
        key = self._verify(file)
        topic = new_topic()
        row = PushCertificates(topic, account, [self._issue(key, topic)])
        self._records.rows[topic] = row
        return row.newest

    def renew(self, account: str, topic: str, file: bytes) -> x509.Certificate:
        """A certificate with the same topic, also where the last one has expired.

        Raises NotVisible unless the account owns the topic, PortalRefused once it was revoked, UploadRefused for a bad file.
        """
        row = self._row(account, topic)
        if row.revoked:
            raise PortalRefused("A revoked certificate cannot be renewed.", advice="Create a new one: it has another topic.")
        row.issued.append(self._issue(self._verify(file), topic))
        return row.newest

    def list(self, account: str) -> tuple[PushCertificates, ...]:
        """What the account sees: its own topics, in the order of their making."""
        self._require(account)
        return tuple(row for row in self._records.rows.values() if row.account == account)

    def revoke(self, account: str, topic: str) -> tuple[x509.Certificate, ...]:
        """Revokes every certificate of the topic, for good; returns those that APNs is to refuse from now on."""
        row = self._row(account, topic)
        row.revoked = True
        return tuple(row.issued)

    def transfer(self, topic: str, from_account: str, to_account: str) -> None:
        """The topic belongs to another account from now on, as Apple Support arranges it on request."""
        self._require(to_account)
        self._row(from_account, topic).account = to_account

    def _verify(self, file: bytes) -> rsa.RSAPublicKey:
        return verify(file, self._ca, now=self._clock.now(), is_revoked=self._is_revoked)

    def _issue(self, key: rsa.RSAPublicKey, topic: str) -> x509.Certificate:
        return self._ca.issue_push_certificate(key, topic=topic, now=self._clock.now())

    def _require(self, account: str) -> None:
        if account not in self._records.accounts:
            raise NotAMember(f"There is no Apple Account {account}.", advice="Sign up first.")

    def _row(self, account: str, topic: str) -> PushCertificates:
        self._require(account)
        row = self._records.rows.get(topic)
        if row is None or row.account != account:
            raise NotVisible(
                f"{account} has no push certificate whose topic is {topic}.",
                advice="Sign in with the Apple Account that created it.",
            )
        return row
