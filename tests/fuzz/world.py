"""Who takes part in the fuzzed messages: keys that the corpus was made with, and that open nothing else anywhere.

They are files, because a corpus that is encrypted to a key is of no use without it. `python -m tests.fuzz.corpus` made them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from bramley.pki import certificates, keys, names
from bramley.pki.scep import enrollment
from bramley.pki.scep.enrollment import Enrollment, Signer
from bramley.pki.scep.server import Responder

FOLDER = Path(__file__).parent
KEYS = FOLDER / "keys"
CORPUS = FOLDER / "corpus"
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
PASSWORD = "correct horse"
BODY = b"<plist/>"
NONCE = bytes(range(16))
SUBJECT = names.make("F2LX0001", uid="device-1")


@dataclass(frozen=True, slots=True)
class World:
    """The identity CA, which is the SCEP responder too, and two devices under it: one with an RSA key, one on a curve."""

    ca: x509.Certificate
    ca_key: rsa.RSAPrivateKey
    device: x509.Certificate
    device_key: rsa.RSAPrivateKey
    curve: x509.Certificate
    curve_key: ec.EllipticCurvePrivateKey

    @property
    def responder(self) -> Responder:
        return Responder(self.ca, self.ca_key)

    @property
    def sent(self) -> Enrollment:
        """A request as its client remembers it, so that answers in the corpus fit."""
        signer = Signer(self.device, self.device_key)
        public_key = self.device_key.public_key()
        name = enrollment.transaction_id(public_key)
        return Enrollment(b"", name, NONCE, signer, public_key, self.ca, self.ca, "sha256")


@cache
def world() -> World:
    """The world in the files."""
    ca_key, device_key, curve_key = (keys.from_pkcs8((KEYS / f"{name}.key").read_bytes()) for name in ("ca", "device", "curve"))
    ca, device, curve = (certificates.load((KEYS / f"{name}.crt").read_bytes()) for name in ("ca", "device", "curve"))
    assert isinstance(ca_key, rsa.RSAPrivateKey)
    assert isinstance(device_key, rsa.RSAPrivateKey)
    assert isinstance(curve_key, ec.EllipticCurvePrivateKey)
    return World(ca, ca_key, device, device_key, curve, curve_key)
