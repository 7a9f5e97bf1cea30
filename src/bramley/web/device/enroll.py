"""GET /enroll/{token}: the enrollment profile behind a link."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bramley.operations import enrolling
from bramley.operations.live import Live
from bramley.web.asgi import Request, Response

PREFIX: Final = "/enroll/"
PROFILE_TYPE: Final = "application/x-apple-aspen-config"


@dataclass(frozen=True, slots=True)
class Enroll:
    """Each fetch is a new enrollment with a challenge of its own, so nobody on the way may keep the answer."""

    live: Live

    async def __call__(self, request: Request) -> Response:
        profile = await enrolling.profile_for_link(self.live, request.path.removeprefix(PREFIX))
        headers = (
            (b"content-disposition", b'attachment; filename="enroll.mobileconfig"'),
            (b"cache-control", b"no-store"),
        )
        return Response(200, profile, PROFILE_TYPE, headers)
