"""Sending the pushes that are waiting, many at once over one connection per topic."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import groupby

from bramley.apple.push.client import PushClient, PushResult
from bramley.apple.push.errors import BadPushCertificate, PushError
from bramley.model.enrollments import Enrollment, EnrollmentKey
from bramley.model.jobs import DONE, Job, Outcome
from bramley.operations import pushing
from bramley.operations.live import Live, PushIdentity
from bramley.operations.pushing import Sent
from bramley.storage.protocols import Tx

ClientFactory = Callable[[PushIdentity], PushClient]
"""Makes the connection to APNs for a push certificate. Raises PushError where there can be none."""


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
        sent: dict[EnrollmentKey, Sent] = {}
        for topic, group in groupby(sorted(targets.values(), key=_topic), key=_topic):
            sent |= await self._push(topic, list(group))
        now = self._live.installation.clock.now()
        return await store.run(lambda tx: [_settle(tx, job, sent, now) for job in jobs])

    async def close(self) -> None:
        """Ends the connections."""
        for _fingerprint, client in self._clients.values():
            await client.close()
        self._clients.clear()

    async def _push(self, topic: str, targets: Sequence[Enrollment]) -> dict[EnrollmentKey, Sent]:
        identity = self._live.current().pushes.get(topic)
        fingerprint = identity.fingerprint if identity else ""
        results: Sequence[PushResult]
        if identity is None:
            # imported by another process a moment ago, at most
            results = [PushResult(0, error=f"no push certificate for {topic}")] * len(targets)
        else:
            try:
                fingerprint, client = await self._client(identity)
                results = await client.push([pushing.message(target) for target in targets])
            except BadPushCertificate as error:
                # what APNs would say to it, without having been asked
                results = [PushResult(403, reason=error.message)] * len(targets)
            except PushError as error:
                self._clients.pop(topic, None)
                results = [PushResult(0, error=error.message)] * len(targets)
        return {target.key: Sent(target, fingerprint, result) for target, result in zip(targets, results, strict=True)}

    async def _client(self, identity: PushIdentity) -> tuple[str, PushClient]:
        topic, known = identity.topic, self._clients.get(identity.topic)
        if known is not None and known[0] != identity.fingerprint:
            del self._clients[topic]  # before the wait, during which another batch may make the next one
            await known[1].close()
        if topic not in self._clients:
            self._clients[topic] = (identity.fingerprint, self._connect(identity))
        return self._clients[topic]


def _topic(enrollment: Enrollment) -> str:
    return enrollment.topic or ""


def _settle(tx: Tx, job: Job, sent: Mapping[EnrollmentKey, Sent], now: datetime) -> Outcome:
    mine = sent.get(EnrollmentKey(job.args["enrollment_key"]))
    if mine is None:
        return DONE  # nobody to push to: the next TokenUpdate, or the end of the topic's pause, leaves a push of its own
    return pushing.settle(tx, mine, attempts=job.attempts, now=now)
