"""How one simulated device differs from the next."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography import x509

from bramley.pki.keys import KeyAlgorithm
from bramley.sandbox.device.identity import UserAccount
from bramley.sandbox.device.transport import Patience
from bramley.sandbox.signature import SignatureStyle


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """Settings of a simulated device.

    `style` is how it shows its identity; `tls_base` (scheme, host and port) then takes the place of the profile's addresses
    where that is by TLS, whose listener is another one. `anchors` are trusted from the start, as if by hand; without any the
    machine's roots are. `not_now_rate` is from 0 to 1. `own_time` has the device's clock judge server certificates (see
    `Transport`). `legacy_scep` has it take SCEP answers in SHA-1 and single DES. `poll_seconds` is how often `run` connects
    without a push (None: never), `recheck_seconds` how soon it comes back by itself after NotNow or after a failure.
    `hardware_key` has it make the key of its identity on that curve, as Apple's hardware does for ACME: nothing can be encrypted
    to such a key. Other certificates get keys as their profiles say.
    """

    style: SignatureStyle = SignatureStyle.APPLE
    tls_base: str | None = None
    anchors: tuple[x509.Certificate, ...] = ()
    allow_unsigned: bool = False
    not_now_rate: float = 0.0
    users: tuple[UserAccount, ...] = ()
    user_enrollment: bool = False
    patience: Patience = field(default_factory=Patience)
    own_time: bool = False
    legacy_scep: bool = False
    poll_seconds: float | None = None
    recheck_seconds: float = 1.0
    hardware_key: KeyAlgorithm | None = None
