"""A device of the fleet that speaks for another: its identity is genuine and live, the UDID is somebody else's."""

from __future__ import annotations

from collections.abc import AsyncIterator

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from bramley.clock import Clock
from bramley.pki import csr
from bramley.pki.scep.client import SCEPClient
from bramley.sandbox.attackers.attempts import Attempt, Target, every_message, try_all, try_scep
from bramley.sandbox.device import SimulatedDevice, messages
from bramley.sandbox.device.holdings import require_scep
from bramley.sandbox.device.identity import DeviceIdentity, UserAccount
from bramley.sandbox.device.profile import open_profile
from bramley.sandbox.device.transport import Call, SCEPTransport


async def someone_elses_udid(
    attacker: SimulatedDevice,
    victim: DeviceIdentity,
    clock: Clock,
    *,
    victim_user: UserAccount,
    link: str | None = None,
    tls_base: str | None = None,
) -> AsyncIterator[Attempt]:
    """Every message in the victim's name, by an enrolled attacker.

    `link` is an enrollment link that the attacker may use, not meant for the victim: its challenge is good, and the CSR then
    claims the victim's UDID. A certificate got that way is no defeat by itself; what it can do then counts.
    """
    identity = attacker.identity
    assert identity is not None, "the attacker is enrolled"
    target = Target(attacker.mdm, tls_base)
    topic, transport = target.mdm.topic, attacker.transport
    victim_name = messages.sender(victim)
    names = {
        "the victim's UDID": victim_name,
        "the victim's user channel": messages.sender(victim, user=victim_user),
        "the victim's channel as a UDID": {"UDID": f"{victim.udid}:{victim_user.user_id}"},
        "the victim's UDID as an EnrollmentID": {"EnrollmentID": victim.udid},
        "its own UDID beside the victim's EnrollmentID": {**attacker.sender(), "EnrollmentID": victim.udid},
        "the victim's UDID in lower case": {"UDID": victim.udid.lower()},
    }
    for description, who in names.items():
        async for attempt in try_all(transport, target, every_message(who, victim, topic), identity, description, clock.now()):
            yield attempt
    if link is None:
        return
    answer = await transport.deliver(Call("GET", link))
    profile = open_profile(answer.body, anchors=transport.anchors, now=clock.now())
    scep = require_scep(profile)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, victim.udid)])
    request = csr.build(key, subject, challenge_password=scep.challenge, sans=[x509.DNSName(victim.udid)])
    client = SCEPClient(SCEPTransport(transport, scep.url))
    description = "a certificate request with the victim's UDID for subject"
    attempt, gained = await try_scep(client, request, key, signer=None, renewal=False, description=description, now=clock.now())
    if gained is None:
        yield attempt
        return
    tries = every_message(victim_name, victim, topic)
    async for attempt in try_all(transport, target, tries, gained, "an identity got by that request", clock.now()):
        yield attempt
