"""The daily sweep, and the server's own certificates, where SCEP is concerned."""

from __future__ import annotations

from datetime import timedelta

from bramley.jobs.housekeeping import KEPT, Housekeeping
from bramley.model.approvals import ApprovalState
from bramley.model.jobs import DONE, Job
from bramley.model.kinds import Kind
from bramley.operations import approvals
from bramley.operations.live import Live
from bramley.pki import keys
from tests.conftest import SetClock
from tests.operations.conftest import challenge_for
from tests.operations.scep_kit import Client, with_scep


async def test_requests_that_nobody_decides_are_denied_and_forgotten_a_month_later(
    live: Live, device_keys: list[keys.PrivateKey], clock: SetClock
) -> None:
    server = await with_scep(live, approval="manual", approval_days=2)
    await Client.make(server, device_keys[0], (await challenge_for(server)).secret).send()

    async def after(passed: timedelta) -> list[tuple[ApprovalState, str]]:
        clock.moment += passed
        assert await Housekeeping(server).sweep([Job("sweep", clock.now(), clock.now())]) == [DONE]
        found = await approvals.listing(server.installation, None)
        return [(each.approval.state, each.approval.decided_by) for each in found]

    assert await after(timedelta(days=2)) == [(ApprovalState.WAITING, "")]
    assert await after(timedelta(seconds=1)) == [(ApprovalState.DENIED, "job:sweep")]
    assert await after(KEPT) == [(ApprovalState.DENIED, "job:sweep")]
    assert await after(timedelta(seconds=1)) == []


async def test_an_ra_is_made_where_one_is_wanted(live: Live, clock: SetClock) -> None:
    for mode, expected in (("ca", 0), ("ra", 1), ("ra", 1)):
        server = await with_scep(live, mode=mode)
        await Housekeeping(server).own_certificates([Job("own-certificates", clock.now(), clock.now())])
        made = await live.installation.store.read(lambda tx: tx.lineages.certificates(kind=Kind.SCEP_RA))
        assert len(made) == expected
