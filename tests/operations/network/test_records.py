"""What is done with templates and identities of networks is written down, with who did it."""

from __future__ import annotations

from bramley.model.enrollments import EnrollmentKey
from bramley.model.events import EventKind
from bramley.operations.live import Live
from bramley.operations.network import ending, sending, templates
from bramley.pki import keys
from tests.operations.conftest import enrolled

from .kit import UDID, WIFI, answer, fetch

WHO = "admin:ann"


async def test_everything_that_is_done_is_written_down(live: Live, device_keys: list[keys.PrivateKey]) -> None:
    here, key = live.installation, await enrolled(live, device_keys[0], UDID)
    for _ in range(2):
        await templates.put(here, WIFI.encode(), actor=WHO)
    sent = await sending.assign(live, "wifi", [UDID], actor=WHO)
    await sending.assign(live, "wifi", [UDID], actor=WHO)
    again = await sending.renew(live, UDID, actor=WHO)
    first, second = sent[0].command, again[0].command
    assert first is not None
    assert second is not None
    await fetch(live, device_keys[1], second)
    (revoked,) = await ending.revoke(here, UDID, "wifi", reason="lost", actor=WHO)
    (taken,) = await ending.unassign(here, "wifi", [UDID], actor=WHO)
    assert taken.command is not None
    await answer(live, taken.command)
    await templates.remove(here, "wifi", actor=WHO)

    events = [each for each in reversed(await here.store.read(lambda tx: tx.events.find(limit=1000))) if each.actor == WHO]
    told = [each for each in events if each.kind.startswith("network:")]
    shown: list[tuple[EventKind, EnrollmentKey | None, object]] = [(each.kind, each.enrollment_key, each.detail) for each in told]
    kept = {"template": "wifi", "use": "wifi", "issuer": "bramley"}
    assert shown == [
        (EventKind.NETWORK_TEMPLATE_KEPT, None, kept),
        (EventKind.NETWORK_ASSIGNED, key, {"template": "wifi"}),
        (EventKind.NETWORK_IDENTITY_SENT, key, {"template": "wifi", "command": first.uuid}),
        (EventKind.NETWORK_IDENTITY_SENT, key, {"template": "wifi", "command": second.uuid}),
        (EventKind.NETWORK_UNASSIGNED, key, {"template": "wifi"}),
        (EventKind.NETWORK_TEMPLATE_REMOVED, None, {"template": "wifi"}),
    ]
    (ended,) = [each for each in events if each.version_id == revoked.id]
    assert (ended.kind, ended.enrollment_key, ended.detail["reason"]) == (EventKind.CERTIFICATE_REVOKED, key, "lost")
