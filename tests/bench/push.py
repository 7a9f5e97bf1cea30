"""Pushes a second through the client of APNs to the stand-in, both in this process: python tests/bench/push.py [PUSHES]

The stand-in, on the Python library h2, is the slower half: this watches for a loss of ours, and is no measure of APNs.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from datetime import timedelta

from bramley.apple.push import Push, PushTarget
from bramley.apple.push.client import CurlPushClient
from bramley.clock import SystemClock
from bramley.pki import keys
from bramley.pki.keys import KeyAlgorithm
from bramley.sandbox.apns import APNs
from bramley.sandbox.apple_ca import SandboxAppleCA, new_topic


async def measure(count: int, rounds: int) -> list[float]:
    """Pushes a second, round by round, over one connection."""
    clock, topic = SystemClock(), new_topic()
    ca = SandboxAppleCA.make(clock.now())
    apns = APNs(ca, clock)
    await apns.start()
    key = keys.generate(KeyAlgorithm.RSA_2048)
    certificate = ca.issue_push_certificate(key.public_key(), topic=topic, now=clock.now())
    client = CurlPushClient(
        certificate_pem=ca.chain_pem(certificate),
        key=key,
        topic=topic,
        target=PushTarget("127.0.0.1", apns.port, ca.root_pem),
        expiration=timedelta(days=1),
        clock=clock,
    )
    pushes = [Push(await apns.courier.register(topic), "magic") for _ in range(count)]
    rates = []
    for _ in range(rounds):
        started = time.perf_counter()
        results = await client.push(pushes)
        rates.append(count / (time.perf_counter() - started))
        assert all(result.status == 200 for result in results)
    assert apns.connections_opened == 1
    await client.close()
    await apns.stop()
    return rates


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    rates = asyncio.run(measure(count, 5))
    print(f"{statistics.median(rates):.0f} pushes/s (median of 5 rounds of {count}; {min(rates):.0f} to {max(rates):.0f})")


if __name__ == "__main__":
    main()
