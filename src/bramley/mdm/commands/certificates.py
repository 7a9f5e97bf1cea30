"""CertificateList: which certificates a device holds. It names no profile; match them by the SHA-256 of `der`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from bramley.mdm.commands.answers import required_answer
from bramley.mdm.plist import Writable


@dataclass(frozen=True, slots=True)
class CertificateList:
    """Asks for the certificates on the device; with `managed_only`, for those that MDM installed."""

    request_type: ClassVar[str] = "CertificateList"
    managed_only: bool = False

    def to_plist(self) -> dict[str, Writable]:
        return {"RequestType": self.request_type, "ManagedOnly": self.managed_only}


@dataclass(frozen=True, slots=True)
class ListedCertificate:
    """One certificate on a device; `is_identity` where the device holds its private key."""

    common_name: str
    is_identity: bool
    der: bytes


@dataclass(frozen=True, slots=True)
class CertificateListAnswer:
    certificates: tuple[ListedCertificate, ...]

    @classmethod
    def read(cls, raw: bytes) -> Self:
        listed: Any = required_answer("CertificateList", raw)["CertificateList"]
        return cls(tuple(ListedCertificate(item["CommonName"], item["IsIdentity"], item["Data"]) for item in listed))
