"""Before anything depends on it: whether APNs can be reached from here, on each of its ports, and takes the certificate."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from bramley.apple.push.notification import APPLE_PORT, Push, PushClient, PushResult, PushTarget
from bramley.apple.push.proxy import read_proxy
from bramley.apple.push.reasons import Action, judge
from bramley.apple.push.stages import Stage

PORTS: Final = (APPLE_PORT, 2197)
"""Where APNs answers."""

NOBODY: Final = Push(bytes(32), "preflight")
"""A push to a token that no device has: APNs checks network, certificate and topic before it finds that out."""

Connect = Callable[[PushTarget], PushClient]


@dataclass(frozen=True, slots=True)
class Check:
    """One way to APNs. `proxy` is its URL without the password, None for direct.

    `stage` is the last one reached; `words` says what came and `advice` what to do, empty where `ok`.
    """

    host: str
    port: int
    proxy: str | None
    ok: bool
    stage: Stage
    words: str
    advice: str
    milliseconds: int


_WORDS: Final = MappingProxyType(
    {
        Stage.NAME: "the name is not found",
        Stage.CONNECT: "there is no connection",
        Stage.PROXY: "the proxy does not let us through",
        Stage.TLS: "whoever answers there does not prove to be APNs",
        Stage.HTTP2: "the connection stands, and HTTP/2 gets no answer",
        Stage.CERTIFICATE: "the push certificate is refused",
    }
)

_INSPECTION: Final = "TLS inspection is not allowed for APNs: have the firewall or proxy pass connections to {host} on untouched."

_ADVICE: Final = MappingProxyType(
    {
        Stage.NAME: "Have DNS resolve {host} for this machine.",
        Stage.CONNECT: "Have the firewall let TCP out to port {port} of {host}; Apple's network is 17.0.0.0/8, on 443 or 2197.",
        Stage.PROXY: "Have the proxy allow CONNECT to {host}:{port}, and put the user and password it asks for in push.proxy.",
        Stage.TLS: _INSPECTION,
        Stage.HTTP2: _INSPECTION + " If nothing inspects it, the server may have refused the push certificate without a word.",
        Stage.CERTIFICATE: "Renew it at identity.apple.com/pushcert with the Apple Account that made it.",
    }
)


def routes(target: PushTarget, ports: Sequence[int] = PORTS) -> list[PushTarget]:
    """The ways to try, the target itself first: its port and the given ones, through its proxy if it has one and directly."""
    numbers = dict.fromkeys((target.port, *ports))
    return [replace(target, port=port, proxy=proxy) for proxy in dict.fromkeys((target.proxy or None, None)) for port in numbers]


async def preflight(targets: Sequence[PushTarget], connect: Connect) -> list[Check]:
    """Tries every target at once by a push to nobody, so no device is woken; one check each, in order.

    `connect` makes a client of one target. Raises PushError, before any connection, where the certificate cannot push at all.
    """
    tries = [_try(target, connect(target)) for target in targets]
    checks: list[Check] = []
    for outcome in await asyncio.gather(*tries, return_exceptions=True):  # all have ended before one is raised
        if isinstance(outcome, BaseException):
            raise outcome
        checks.append(outcome)
    return checks


def verdict(target: PushTarget, result: PushResult) -> tuple[bool, Stage, str, str]:
    """What APNs' answer to a push to nobody says of the way to it: ok, stage reached, words, advice."""
    if result.status == 0:
        stage = result.failed_at or Stage.CONNECT
        return False, stage, f"{_WORDS[stage]}: {result.error}", _advice(stage, target)
    said = f"{result.status} {result.reason or 'without a reason'}"
    if (result.status, result.reason) == (400, "BadDeviceToken"):
        return True, Stage.CERTIFICATE, "APNs answers and takes the push certificate", ""
    if result.reason is None:
        return False, Stage.HTTP2, f"the answer, {said}, is not one of APNs", _INSPECTION.format(host=target.host)
    if result.reason == "MissingProviderToken":
        return False, Stage.CERTIFICATE, f"the push certificate did not arrive: {said}", _INSPECTION.format(host=target.host)
    match judge(result):
        case Action.PAUSE_TOPIC:
            return False, Stage.CERTIFICATE, f"{_WORDS[Stage.CERTIFICATE]}: {said}", _ADVICE[Stage.CERTIFICATE]
        case Action.RETRY | Action.BACK_OFF_TOKEN:
            return False, Stage.HTTP2, f"APNs is reached, and busy: {said}", "Nothing here is in the way. Try again later."
    return (
        False,
        Stage.CERTIFICATE,
        f"APNs is reached, and answered {said} where 400 BadDeviceToken was expected",
        "Check that the push certificate is the one of this topic.",
    )


async def _try(target: PushTarget, client: PushClient) -> Check:
    started = time.monotonic()
    try:
        (result,) = await client.push([NOBODY])
        milliseconds = round((time.monotonic() - started) * 1000)
    finally:
        await client.close()
    proxy = read_proxy(target.proxy).url if target.proxy else None
    return Check(target.host, target.port, proxy, *verdict(target, result), milliseconds)


def _advice(stage: Stage, target: PushTarget) -> str:
    if target.proxy and stage in (Stage.NAME, Stage.CONNECT):
        return f"Check push.proxy: {read_proxy(target.proxy).url} is what cannot be reached."
    return _ADVICE[stage].format(host=target.host, port=target.port)
