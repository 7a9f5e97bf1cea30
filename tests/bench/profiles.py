"""Profiles encrypted and signed for a fleet: `python -m tests.bench.profiles [DEVICES]`.

Encrypts a profile of 5 kB to each of 10,000 devices and signs it, and does the same with the bare PKCS#7 builders of
`cryptography` in turns of a hundred. A hundred keys stand for the devices': making ten thousand would take longer than using
them. The last profile of each turn is opened by the other side. Prints rates and their ratio.
"""

from __future__ import annotations

import plistlib
import statistics
import sys
import time
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from bramley.clock import SystemClock
from bramley.pki import cms, keys, names
from bramley.pki.ca import profiles
from bramley.pki.ca.authority import Authority, issue, self_signed
from bramley.pki.keys import KeyAlgorithm
from bramley.profiles.encrypt import encrypt
from bramley.profiles.sign import sign

NOW: Final = SystemClock().now()
BINARY: Final = [pkcs7.PKCS7Options.Binary]
TURN: Final = 100


def five_kilobytes() -> dict[str, Any]:
    """A profile whose payloads are about 5 kB of property list."""
    payload = {"PayloadType": "com.apple.wifi.managed", "PayloadVersion": 1, "SSID_STR": "Orchard"}
    payloads = [
        {
            **payload,
            "PayloadIdentifier": f"example.wifi.{n}",
            "PayloadUUID": f"00000000-0000-4000-8000-{n:012}",
            "Note": "x" * 180,
        }
        for n in range(10)
    ]
    common = {"PayloadType": "Configuration", "PayloadVersion": 1, "PayloadIdentifier": "example.wifi"}
    return {**common, "PayloadUUID": "00000000-0000-4000-8000-000000000000", "PayloadContent": payloads}


def ours(profile: dict[str, Any], device: x509.Certificate, signer: Authority, chain: list[x509.Certificate]) -> bytes:
    return sign(encrypt(profile, device), certificate=signer.certificate, key=signer.key, chain=chain, now=NOW)


def bare(profile: dict[str, Any], device: x509.Certificate, signer: Authority, chain: list[x509.Certificate]) -> bytes:
    """The same two messages by `cryptography`, around the same property lists written by `plistlib`."""
    builder = pkcs7.PKCS7EnvelopeBuilder().set_data(plistlib.dumps(profile["PayloadContent"]))
    builder = builder.set_content_encryption_algorithm(AES128).add_recipient(device)
    sealed = builder.encrypt(Encoding.DER, BINARY)
    rest = {key: value for key, value in profile.items() if key != "PayloadContent"}
    content = plistlib.dumps({**rest, "IsEncrypted": True, "EncryptedPayloadContent": sealed})
    signature = pkcs7.PKCS7SignatureBuilder().set_data(content)
    signature = signature.add_signer(signer.certificate, signer.key, hashes.SHA256())
    for certificate in chain:
        signature = signature.add_certificate(certificate)
    return signature.sign(Encoding.DER, BINARY)


def opened(message: bytes, device: x509.Certificate, key: keys.PrivateKey) -> list[dict[str, Any]]:
    verified = cms.verify(cms.parse_signed_data(message), policy=cms.STRICT)
    sealed = plistlib.loads(verified.content)["EncryptedPayloadContent"]
    found: list[dict[str, Any]] = plistlib.loads(pkcs7.pkcs7_decrypt_der(sealed, device, key, []))  # type: ignore[arg-type]
    return found


def main(count: int) -> None:
    root_key, signer_key = keys.generate(KeyAlgorithm.RSA_3072), keys.generate(KeyAlgorithm.RSA_2048)
    root = Authority(self_signed(profiles.ROOT_CA, root_key, names.make("Root"), now=NOW), root_key)
    signer = Authority(
        issue(root, profiles.SIGNER_CA, signer_key.public_key(), subject=names.make("Signer"), now=NOW), signer_key
    )
    made = [keys.generate(KeyAlgorithm.RSA_2048) for _ in range(TURN)]
    devices = [issue(root, profiles.DEVICE_IDENTITY, key.public_key(), subject=names.make("d"), now=NOW) for key in made]
    profile, chain = five_kilobytes(), [root.certificate]
    times: dict[str, list[float]] = {"ours": [], "bare": []}
    for turn in range(max(count // TURN, 1)):
        for name, make in (("ours", ours), ("bare", bare)) if turn % 2 else (("bare", bare), ("ours", ours)):
            started = time.perf_counter()
            for device in devices:
                message = make(profile, device, signer, chain)
            times[name].append((time.perf_counter() - started) / TURN)
            assert opened(message, devices[-1], made[-1]) == profile["PayloadContent"]
    ours_at, bare_at = (statistics.median(times[name]) for name in ("ours", "bare"))
    size = len(plistlib.dumps(profile))
    print(f"profile of {size:,} bytes, encrypted and signed for {len(times['ours']) * TURN:,} devices")
    print(f"  ours               {ours_at * 1e3:7.3f} ms   {1 / ours_at:7.0f} a second")
    print(f"  bare cryptography  {bare_at * 1e3:7.3f} ms   {1 / bare_at:7.0f} a second")
    print(f"  ours / bare, in speed: {bare_at / ours_at:.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
