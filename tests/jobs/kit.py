"""Many devices on record, and a sender that answers as it is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bramley.apple.push.notification import PushResult
from bramley.model.enrollments import Enrollment, EnrollmentID, EnrollmentKey, EnrollmentState
from bramley.operations.installation import Installation
from bramley.operations.live import Live
from bramley.operations.pushing import Sent
from bramley.storage.protocols import Tx

GOOD = PushResult(200)


@dataclass(slots=True)
class FakeSender:
    """In the place of `jobs.sending.Sender`: no connection, one answer for each device, `GOOD` where none is given.

    `meanwhile` runs once, after the next pushes were sent and before anybody learns what came of them. `certificate` is said
    to be what was pushed under, by default the one in force.
    """

    live: Live
    answers: Callable[[Enrollment], PushResult] = lambda _target: GOOD
    meanwhile: Callable[[], Awaitable[Any]] | None = None
    certificate: str = ""
    batches: list[list[EnrollmentKey]] = field(default_factory=list)

    async def send(self, targets: Sequence[Enrollment]) -> Mapping[EnrollmentKey, Sent]:
        self.batches.append([target.key for target in targets])
        pushes = self.live.current().pushes
        sent = {t.key: Sent(t, self.certificate or pushes[t.topic or ""].fingerprint, self.answers(t)) for t in targets}
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        return sent

    @property
    def times(self) -> Counter[EnrollmentKey]:
        """How often each device was pushed to."""
        return Counter(key for batch in self.batches for key in batch)


def answering(**results: PushResult) -> Callable[[Enrollment], PushResult]:
    """Answers by the number of the device: `_3=…` is for the fourth that `enroll` makes."""
    return lambda target: results.get(f"_{int(str(target.key))}", GOOD)


async def enroll(installation: Installation, topic: str, count: int, *, first: int = 0, **fields: Any) -> list[EnrollmentKey]:
    """Puts active devices with tokens on record; their keys sort by number."""
    now = installation.clock.now()
    made = [
        replace(
            Enrollment(EnrollmentKey(f"{number:06}"), EnrollmentState.ACTIVE, now, now, id=EnrollmentID(f"udid {number}")),
            topic=topic,
            push_token=number.to_bytes(32),
            push_magic="push-magic-secret",
            token_updated_at=now,
        )
        for number in range(first, first + count)
    ]

    def add(tx: Tx) -> None:
        for each in made:
            tx.enrollments.add(replace(each, **fields))

    await installation.store.run(add)
    return [each.key for each in made]


async def change(installation: Installation, key: EnrollmentKey, **fields: Any) -> None:
    """Changes what is on record of one of them."""

    def put(tx: Tx) -> None:
        found = tx.enrollments.get(key)
        assert found is not None
        tx.enrollments.update(replace(found, **fields))

    await installation.store.run(put)
