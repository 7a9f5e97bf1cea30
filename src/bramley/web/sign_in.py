"""Who holds an admin token, whichever way a route has it shown; and what guessing costs."""

from __future__ import annotations

from dataclasses import dataclass

from bramley.model.admins import AdminToken
from bramley.model.events import EventKind
from bramley.operations import admins
from bramley.operations.live import Live
from bramley.web.limits import Gate, Limit


@dataclass(frozen=True, slots=True)
class SignIn:
    """One for all routes, so that a wrong token costs the same at each.

    A right token is never held up by the wrong ones that came from the same address.
    """

    live: Live
    gate: Gate

    async def admit(self, token: str, sender: str) -> AdminToken | None:
        """Whose token it is; None, as `refuse`, for one that is not known here. `sender` is an `addresses.origin`."""
        admin = await admins.authorize(self.live.installation, token)
        if admin is None:
            await self.refuse("unknown-token", sender)
        return admin

    async def refuse(self, reason: str, sender: str) -> None:
        """Charges a wrong guess to its sender and writes it down. Raises TooMany where there have been too many."""
        self.gate.require(Limit.SIGN_IN_ADDRESS, sender)
        self.gate.take(Limit.SIGN_IN_ADDRESS, sender)
        await self.live.refusals.record(EventKind.ADMIN_REFUSED, reason, actor="admin:")
