"""What an opened store does alike in every database: it takes notes, hands out watches, and refuses once it is closed."""

from __future__ import annotations

from abc import abstractmethod
from datetime import datetime

from bramley.model.commands import CommandUUID
from bramley.model.enrollments import EnrollmentKey
from bramley.storage.behind import Behind
from bramley.storage.errors import Closed
from bramley.storage.protocols import Store
from bramley.storage.watch import Commits, Watch


class OpenedStore(Store):
    """The base of the stores; each adds its transactions, and in `_let_go` the end of its connections."""

    def __init__(self, behind: Behind, commits: Commits) -> None:
        self._behind = behind
        self._commits = commits
        self._closed = False

    def saw(self, key: EnrollmentKey, now: datetime) -> None:
        self._refuse_if_closed()
        self._behind.saw(key, now)

    def sent(self, uuid: CommandUUID, now: datetime) -> None:
        self._refuse_if_closed()
        self._behind.sent(uuid, now)

    def watch(self) -> Watch:
        self._refuse_if_closed()
        return Watch(self._commits)

    async def close(self) -> None:
        """Raises, once all is closed, the trouble that kept the last notes from being written."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._behind.close()
        finally:
            await self._let_go()

    @abstractmethod
    async def _let_go(self) -> None:
        """Ends what the database needs to be told; called once, after the last notes."""

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise Closed("the store is closed.", advice="Open it again.")
