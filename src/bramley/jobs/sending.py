"""Sending pushes: many at once over one connection per push certificate, and what came of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby

from bramley.apple.push.client import PushClient, PushResult
from bramley.apple.push.errors import BadPushCertificate, PushError
from bramley.model.enrollments import Enrollment, EnrollmentKey
from bramley.operations import pushing
from bramley.operations.live import Live, PushIdentity
from bramley.operations.pushing import Sent

ClientFactory = Callable[[PushIdentity], PushClient]
"""Makes the connection to APNs for a push certificate. Raises PushError where there can be none."""


class Sender:
    """Keeps one client per topic, and makes a new one when its certificate changes. Stores nothing."""

    def __init__(self, live: Live, connect: ClientFactory) -> None:
        self._live = live
        self._connect = connect
        self._clients: dict[str, tuple[str, PushClient]] = {}

    async def send(self, targets: Sequence[Enrollment]) -> Mapping[EnrollmentKey, Sent]:
        """One push to each, under the certificate in force for its topic. Each has a token, as `pushing.targets` finds them."""
        sent: dict[EnrollmentKey, Sent] = {}
        for topic, group in groupby(sorted(targets, key=_topic), key=_topic):
            sent |= await self._under(topic, list(group))
        return sent

    async def try_out(self, identity: PushIdentity, target: Enrollment) -> Sent:
        """One push under a certificate that is not in force yet, over a connection of its own."""
        result: PushResult
        try:
            client = self._connect(identity)
            try:
                (result,) = await client.push([pushing.message(target)])
            finally:
                await client.close()
        except BadPushCertificate as error:
            result = _refused(error)
        except PushError as error:
            result = PushResult(0, error=error.message)
        return Sent(target, identity.fingerprint, result)

    async def close(self) -> None:
        """Ends the connections."""
        for _fingerprint, client in self._clients.values():
            await client.close()
        self._clients.clear()

    async def _under(self, topic: str, targets: Sequence[Enrollment]) -> dict[EnrollmentKey, Sent]:
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
                results = [_refused(error)] * len(targets)
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


def _refused(error: BadPushCertificate) -> PushResult:
    """What APNs would say to the certificate, without having been asked."""
    return PushResult(403, reason=error.message)
