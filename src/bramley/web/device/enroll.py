"""GET /enroll/{token}: the enrollment profile behind a link."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bramley.operations import enrolling
from bramley.operations.errors import LinkUnusable, NotFound
from bramley.operations.live import Live
from bramley.web.asgi import Request, Response
from bramley.web.limits import Gate, Limit

PREFIX: Final = "/enroll/"
PROFILE_TYPE: Final = "application/x-apple-aspen-config"


@dataclass(frozen=True, slots=True)
class Enroll:
    """Each fetch is a new enrollment with a challenge of its own, so nobody on the way may keep the answer.

    Whoever has a link is never held up by what others at the same address do: only failures are charged to it.
    """

    live: Live
    gate: Gate

    async def __call__(self, request: Request) -> Response:
        token, sender = request.path.removeprefix(PREFIX), request.origin
        link = enrolling.link_digest(token)
        self.gate.require(Limit.LINK, link)
        try:
            profile = await enrolling.profile_for_link(self.live, token)
        except (NotFound, LinkUnusable):
            self.gate.require(Limit.LINK_ADDRESS, sender)
            self.gate.take(Limit.LINK_ADDRESS, sender)
            raise
        self.gate.take(Limit.LINK, link)
        headers = (
            (b"content-disposition", b'attachment; filename="enroll.mobileconfig"'),
            (b"cache-control", b"no-store"),
        )
        return Response(200, profile, PROFILE_TYPE, headers)
