"""The attackers of a rehearsal, and whom each of them is set on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from bramley.rehearsal.cast import Cast
from bramley.rehearsal.stage import Stage
from bramley.sandbox import attackers
from bramley.sandbox.attackers import Attempt


async def waves(stage: Stage, cast: Cast) -> Mapping[str, AsyncIterator[Attempt]]:
    """What each attacker is after, and its attempts, which are made as they are asked for.

    Everybody is enrolled, and the identity of the last of the fleet revoked.
    """
    victim, mallory, tls = cast.fleet[0], cast.mallory, stage.tls_base
    if victim.identity is None:
        raise AssertionError("the victim is enrolled")
    genuine_ca = stage.service.live.current().authorities.identity.authority.certificate
    return {
        "someone else's UDID": attackers.someone_elses_udid(
            mallory,
            victim.device,
            stage.clock,
            victim_user=victim.behaviour.users[0],
            link=await stage.link(),
            tls_base=tls,
        ),
        "a revoked identity": attackers.revoked_identity(cast.fleet[-1], stage.clock, tls_base=tls),
        "a body replaced under a valid signature": attackers.replaced_body(victim, stage.clock),
        "a look-alike CA of the same name": attackers.look_alike_ca(
            mallory,
            victim.device,
            stage.clock,
            genuine_ca=genuine_ca,
            genuine_leaf=victim.identity.certificate,
            tls_base=tls,
        ),
    }
