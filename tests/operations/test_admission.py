"""First requests without a challenge of ours: a static one, or a webhook's word."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from bramley.model.enrollments import Enrollment, EnrollmentState
from bramley.model.events import EventKind
from bramley.operations import approvals
from bramley.operations.live import Live
from bramley.pki import certificates, keys
from tests.apple.site import HANG, Site, answer, site
from tests.conftest import SetClock

from .conftest import challenge_for
from .scep_kit import Client, with_scep

Keys = list[keys.PrivateKey]
SECRET = "a static challenge of some length"
KEY = "the webhook's own secret"


async def enrollment_of(live: Live, certificate: x509.Certificate | str) -> Enrollment:
    assert isinstance(certificate, x509.Certificate), certificate
    digest = certificates.sha256(certificate)

    def read(tx: Any) -> Enrollment:
        found = tx.enrollments.get(tx.enrollments.binding(digest).enrollment_key)
        assert isinstance(found, Enrollment)
        return found

    return await live.installation.store.read(read)


async def admitted(live: Live) -> list[Any]:
    events = await live.installation.store.read(lambda tx: tx.events.find(kind=EventKind.SCEP_ADMITTED))
    return [event.detail for event in events]


class TestStaticChallenge:
    async def test_is_none_unless_it_is_set(self, live: Live, device_keys: Keys) -> None:
        for challenge in (SECRET, "", None):
            assert await Client.make(live, device_keys[0], challenge).send() == "badRequest: challenge-unknown"
        assert await admitted(live) == []

    async def test_lets_in_each_time_under_a_fresh_enrollment(self, live: Live, device_keys: Keys) -> None:
        server = await with_scep(live, static_challenge=SECRET)
        first, second = [await Client.make(server, device_keys[n], SECRET).send() for n in (0, 1)]

        one, other = await enrollment_of(live, first), await enrollment_of(live, second)
        assert one.key != other.key
        assert one.state is EnrollmentState.PENDING
        assert [detail["by"] for detail in await admitted(live)] == ["static-challenge"] * 2
        # a link that names no device: what comes of it takes nobody's place
        link = await live.installation.store.read(lambda tx: tx.links.get(one.link_id or ""))
        assert link is not None
        assert (link.label, link.udid, link.uses, link.uses_allowed) == ("static challenge", None, 1, 1)

    async def test_the_same_message_again_gets_the_same_certificate(self, live: Live, device_keys: Keys, clock: SetClock) -> None:
        client = Client.make(await with_scep(live, static_challenge=SECRET), device_keys[0], SECRET)
        assert await client.send() == await client.send()
        assert len(await admitted(live)) == 1

    @pytest.mark.parametrize("guess", [None, "", SECRET[:-1], SECRET + " ", SECRET.upper()])
    async def test_is_taken_whole_or_not_at_all(self, live: Live, device_keys: Keys, guess: str | None) -> None:
        server = await with_scep(live, static_challenge=SECRET)
        assert await Client.make(server, device_keys[0], guess).send() == "badRequest: challenge-unknown"

    async def test_leaves_one_time_challenges_as_they_are(self, live: Live, device_keys: Keys) -> None:
        server = await with_scep(live, static_challenge=SECRET)
        given = await challenge_for(server)
        certificate = await Client.make(server, device_keys[0], given.secret).send()
        assert (await enrollment_of(live, certificate)).key == given.challenge.enrollment_key
        assert await Client.make(server, device_keys[1], given.secret).send() == "badRequest: challenge-spent"

    async def test_may_wait_for_a_person(self, live: Live, device_keys: Keys) -> None:
        server = await with_scep(live, static_challenge=SECRET, approval="manual")
        clients = [Client.make(server, device_keys[0], SECRET) for _ in range(2)]
        assert [await client.send() for client in clients] == ["pending"] * 2
        (asked,) = await approvals.listing(server.installation)
        assert SECRET.encode() not in asked.approval.request
        await approvals.approve(server, asked.approval.id, actor="cli")
        assert await clients[0].send() == await clients[1].send() == await clients[1].poll()


@pytest.fixture
async def hook(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as served:
        (tmp_path / "hook-ca.pem").write_bytes(served.ca_pem)
        yield served


async def asking(live: Live, hook: Site, folder: Path, said: bytes | None, **changed: Any) -> Live:
    """A server that asks the webhook, which will say this."""
    if said is not None:
        hook.answers["/decide"] = said
    webhook = {"webhook_url": hook.url + "decide", "webhook_secret": KEY, "webhook_ca_file": str(folder / "hook-ca.pem")}
    return await with_scep(live, **{**webhook, **changed})


def yes(**said: Any) -> bytes:
    return answer(200, json.dumps({"allow": True, **said}).encode())


class TestWebhook:
    async def test_is_asked_by_a_signed_question_and_lets_in(
        self, live: Live, device_keys: Keys, hook: Site, tmp_path: Path, clock: SetClock
    ) -> None:
        server = await asking(live, hook, tmp_path, yes(label="from the inventory"))
        client = Client.make(server, device_keys[0], "a word of the inventory's")

        certificate = await client.send()

        enrollment = await enrollment_of(live, certificate)
        link = await live.installation.store.read(lambda tx: tx.links.get(enrollment.link_id or ""))
        assert link is not None
        assert link.label == "from the inventory"
        (heard,) = hook.heard
        head, _, body = heard.partition(b"\r\n\r\n")
        assert head.startswith(b"POST /decide HTTP/1.1\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:])
        moment = headers["x-bramley-timestamp"]
        assert int(moment) == clock.now().timestamp()
        expected = hmac.new(KEY.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
        assert headers["x-bramley-signature"] == expected
        assert json.loads(body) == {
            "transaction": client.sent.transaction_id,
            "subject": "CN=router",
            "sans": [],
            "spki_sha256": keys.spki_sha256(device_keys[0].public_key()),
            "challenge": "a word of the inventory's",
        }
        assert await admitted(live) == [
            {"by": "webhook", "label": "from the inventory", "transaction": client.sent.transaction_id}
        ]

    @pytest.mark.parametrize(
        "said",
        [
            None,
            answer(200, b""),
            answer(200, b"true"),
            answer(200, b"[]"),
            answer(200, b"{}"),
            answer(200, b'{"allow": false}'),
            answer(200, b'{"allow": "true"}'),
            answer(200, b'{"allow": 1}'),
            answer(200, b'{"allow": null}'),
            answer(200, b'{"allow": true'),
            answer(200, b"\xff\xfe"),
            answer(200, b"[" * 15_000),
            answer(200, b'{"allow": true, "padding": "' + b"x" * 17_000 + b'"}'),
            answer(200, b'{"allow": true, "label": 5}'),
            answer(200, b'{"allow": true, "label": "\\u001b[31m"}'),
            answer(201, b'{"allow": true}'),
            answer(302, b'{"allow": true}', "Location: /decide"),
            answer(403, b'{"allow": true}'),
            answer(500, b'{"allow": true}'),
            b"no HTTP\r\n\r\n",
        ],
        ids=range(20),
    )
    async def test_anything_but_a_clear_yes_is_no(
        self, live: Live, device_keys: Keys, hook: Site, tmp_path: Path, said: bytes | None
    ) -> None:
        server = await asking(live, hook, tmp_path, said)
        assert await Client.make(server, device_keys[0], "a word").send() == "badRequest: webhook-refused"
        assert await admitted(live) == []
        events = await live.installation.store.read(lambda tx: tx.events.find(kind=EventKind.SCEP_REFUSED))
        assert "a word" not in repr([event.detail for event in events])
        assert KEY not in repr([event.detail for event in events])

    @pytest.mark.parametrize(
        "changed", [{"webhook_ca_file": ""}, {"webhook_ca_file": "/nowhere"}, {"webhook_url": "https://localhost:1/"}]
    )
    async def test_one_that_cannot_be_asked_or_is_not_trusted_lets_nobody_in(
        self, live: Live, device_keys: Keys, hook: Site, tmp_path: Path, changed: dict[str, str]
    ) -> None:
        server = await asking(live, hook, tmp_path, yes(), **changed)
        assert await Client.make(server, device_keys[0], "a word").send() == "badRequest: webhook-refused"

    async def test_one_that_does_not_answer_lets_nobody_in(
        self, live: Live, device_keys: Keys, hook: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("bramley.operations.challenge_webhook._SECONDS", 0.2)
        server = await asking(live, hook, tmp_path, HANG)
        assert await Client.make(server, device_keys[0], "a word").send() == "badRequest: webhook-refused"

    async def test_is_not_asked_of_what_is_known(self, live: Live, device_keys: Keys, hook: Site, tmp_path: Path) -> None:
        """A challenge of ours, a renewal, the same message again, and a request that waits."""
        server = await asking(live, hook, tmp_path, yes())
        given = await challenge_for(server)
        client = Client.make(server, device_keys[0], given.secret)
        assert isinstance(await client.send(), x509.Certificate)
        assert await client.send() == await client.send()
        spent = Client.make(server, device_keys[1], given.secret)
        assert await spent.send() == "badRequest: challenge-spent"
        assert hook.heard == []

        patient = await asking(live, hook, tmp_path, yes(), approval="manual")
        clients = [Client.make(patient, device_keys[2], None) for _ in range(2)]
        assert [await each.send() for each in (*clients, *clients)] == ["pending"] * 4
        assert len(hook.heard) == 1
