"""A device whose identity was revoked, and who does not give up."""

from __future__ import annotations

from collections.abc import AsyncIterator

from cryptography.hazmat.primitives.asymmetric import rsa

from bramley.clock import Clock
from bramley.pki import csr
from bramley.pki.scep.client import SCEPClient
from bramley.sandbox.attackers.attempts import Attempt, Target, every_message, try_all, try_scep
from bramley.sandbox.device import SimulatedDevice
from bramley.sandbox.device.holdings import require_scep
from bramley.sandbox.device.transport import SCEPTransport


async def revoked_identity(device: SimulatedDevice, clock: Clock, *, tls_base: str | None = None) -> AsyncIterator[Attempt]:
    """Every message of the device in its own name, and every way to a new identity that starts from the old one."""
    identity = device.identity
    assert identity is not None, "the device was enrolled"
    target = Target(device.mdm, tls_base)
    tries = every_message(device.sender(), device.device, target.mdm.topic)
    async for attempt in try_all(device.transport, target, tries, identity, "a revoked identity", clock.now()):
        yield attempt
    scep = require_scep(device.holdings.enrollment)
    client = SCEPClient(SCEPTransport(device.transport, scep.url))
    new_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for key, which in ((new_key, "a new key"), (identity.key, "the same key")):
        for challenge, what in ((None, "no challenge"), (scep.challenge, "its spent challenge")):
            for renewal in (True, False):
                request = csr.build(key, identity.certificate.subject, challenge_password=challenge)
                kind = "RenewalReq" if renewal else "PKCSReq"
                description = f"a {kind} signed with a revoked identity, for {which}, with {what}"
                attempt, _ = await try_scep(
                    client, request, key, signer=identity, renewal=renewal, description=description, now=clock.now()
                )
                yield attempt
