"""Sending the pushes that are waiting, many at once over one connection per topic."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import groupby

from bramley.apple.push.client import PushClient, PushResult
from bramley.apple.push.errors import BadPushCertificate
from bramley.jobs.runner import DONE, Outcome
from bramley.model.enrollments import Enrollment, EnrollmentKey
from bramley.model.jobs import Job
from bramley.operations import pushing
from bramley.operations.live import Live, PushIdentity
from bramley.storage.protocols import Tx

ClientFactory = Callable[[PushIdentity], PushClient]
"""Makes the connection to APNs for a push certificate. Raises BadPushCertificate for one that has expired."""


class Pusher:
    """Handles `push` jobs. Keeps one client per topic, and makes a new one when its certificate changes."""

    def __init__(self, live: Live, connect: ClientFactory) -> None:
        self._live = live
        self._connect = connect
        self._clients: dict[str, tuple[str, PushClient]] = {}

    async def __call__(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        keys = [EnrollmentKey(job.args["enrollment_key"]) for job in jobs]
        store = self._live.installation.store
        targets = await store.read(lambda tx: pushing.targets(tx, keys))
        results: dict[EnrollmentKey, PushResult] = {}
        for topic, group in groupby(sorted(targets.values(), key=lambda e: e.topic or ""), key=lambda e: e.topic or ""):
            results |= await self._push(topic, list(group))
        now = self._live.installation.clock.now()
        return await store.run(lambda tx: [_settle(tx, job, targets, results, now) for job in jobs])

    async def close(self) -> None:
        """Ends the connections."""
        for _fingerprint, client in self._clients.values():
            await client.close()
        self._clients.clear()

    async def _push(self, topic: str, targets: Sequence[Enrollment]) -> dict[EnrollmentKey, PushResult]:
        try:
            client = await self._client(topic)
        except BadPushCertificate as error:
            now, message = self._live.installation.clock.now(), error.message
            await self._live.installation.store.run(lambda tx: pushing.pause(tx, topic, message, now=now))
            return {}
        if client is None:
            return {}
        results = await client.push([pushing.message(target) for target in targets])
        return {target.key: result for target, result in zip(targets, results, strict=True)}

    async def _client(self, topic: str) -> PushClient | None:
        identity = self._live.current().pushes.get(topic)
        known = self._clients.get(topic)
        if identity is None or (known is not None and known[0] != identity.fingerprint):
            if known is not None:
                await known[1].close()
                del self._clients[topic]
            known = None
        if identity is None:
            return None
        if known is None:
            known = self._clients[topic] = (identity.fingerprint, self._connect(identity))
        return known[1]


def _settle(
    tx: Tx,
    job: Job,
    targets: Mapping[EnrollmentKey, Enrollment],
    results: Mapping[EnrollmentKey, PushResult],
    now: datetime,
) -> Outcome:
    key = EnrollmentKey(job.args["enrollment_key"])
    if key not in results:
        return DONE  # nobody to push to, or the topic is paused: a new TokenUpdate or certificate starts afresh
    settled = pushing.settle(tx, targets[key], results[key], attempts=job.attempts, now=now)
    return Outcome(settled.retry_after, settled.error)
