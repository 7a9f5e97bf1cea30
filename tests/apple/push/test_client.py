"""The client of APNs against the stand-in: what arrives, what is refused, and what a bad network does."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from bramley.apple.push import Action, BadPushCertificate, ClientClosed, Push, PushTarget, judge
from bramley.apple.push.client import CurlPushClient
from bramley.clock import Clock
from bramley.pki import certificates, keys
from bramley.pki.keys import KeyAlgorithm, PrivateKey
from bramley.sandbox.apns import STATUSES, APNs
from bramley.sandbox.apple_ca import SandboxAppleCA, new_topic
from bramley.sandbox.clock import ShiftedClock
from bramley.sandbox.tls import load_identity

MAGIC = 'magic "quoted" \\ and ünïcode'


async def test_a_push_wakes_a_device_that_waits(apns: APNs, client: CurlPushClient, topic: str) -> None:
    token = await apns.courier.register(topic)
    waiting = asyncio.create_task(apns.courier.wait(token))
    await asyncio.sleep(0)
    (result,) = await client.push([Push(token, MAGIC)])
    assert result.status == 200
    assert result.apns_id is not None
    assert re.fullmatch(r"[0-9A-F-]{36}", result.apns_id)
    assert judge(result) is Action.DELIVERED
    assert await asyncio.wait_for(waiting, 5) == {"mdm": MAGIC}


async def test_only_the_last_push_is_kept_for_a_device_that_is_away(apns: APNs, client: CurlPushClient, topic: str) -> None:
    token = await apns.courier.register(topic)
    for magic in ("first", "second", "third"):
        await client.push([Push(token, magic)])
    assert (apns.accepted, apns.delivered) == (3, 0)
    assert await asyncio.wait_for(apns.courier.wait(token), 5) == {"mdm": "third"}
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(apns.courier.wait(token), 0.1)


async def test_a_kept_push_is_gone_after_its_expiration(
    apns: APNs, client: CurlPushClient, topic: str, clock: ShiftedClock
) -> None:
    kept, gone = await apns.courier.register(topic), await apns.courier.register(topic)
    await client.push([Push(kept, "m"), Push(gone, "m")])
    clock.shift = timedelta(days=6, hours=23)
    assert await asyncio.wait_for(apns.courier.wait(kept), 5) == {"mdm": "m"}
    clock.shift = timedelta(days=7, hours=1)
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(apns.courier.wait(gone), 0.1)


@pytest.mark.parametrize("reason", sorted(STATUSES))
async def test_each_reason_arrives_with_its_status(reason: str, apns: APNs, client: CurlPushClient, topic: str) -> None:
    token = await apns.courier.register(topic)
    apns.refuse_next(reason, retry_after=17)
    (result,) = await client.push([Push(token, "m")])
    assert (result.status, result.reason, result.retry_after) == (STATUSES[reason], reason, 17.0)
    assert apns.refused == {reason: 1}


async def test_a_dead_token_says_since_when(apns: APNs, client: CurlPushClient, topic: str, clock: ShiftedClock) -> None:
    token = await apns.courier.register(topic)
    before = clock.now()
    await apns.courier.unregister(token)
    (result,) = await client.push([Push(token, "m")])
    assert (result.status, result.reason) == (410, "Unregistered")
    assert judge(result) is Action.STOP_TOKEN
    assert result.timestamp is not None
    assert before - timedelta(milliseconds=1) <= result.timestamp <= clock.now()


async def test_a_token_that_was_never_given_out_is_not_called_dead(apns: APNs, client: CurlPushClient) -> None:
    (result,) = await client.push([Push(os.urandom(32), "m")])
    assert (result.status, result.reason) == (400, "BadDeviceToken")
    assert judge(result) is Action.WRONG_TOPIC


async def test_a_token_of_another_topic_is_an_operators_mistake(apns: APNs, client: CurlPushClient) -> None:
    (result,) = await client.push([Push(await apns.courier.register(new_topic()), "m")])
    assert (result.status, result.reason) == (400, "DeviceTokenNotForTopic")
    assert judge(result) is Action.WRONG_TOPIC


async def test_a_thousand_pushes_share_a_connection_and_keep_order(apns: APNs, client: CurlPushClient, topic: str) -> None:
    tokens = [await apns.courier.register(topic) for _ in range(1000)]
    dead = set(tokens[::7])
    for token in dead:
        await apns.courier.unregister(token)
    results = await client.push([Push(token, "m") for token in tokens])
    assert [result.status for result in results] == [410 if token in dead else 200 for token in tokens]
    assert apns.connections_opened == 1


async def test_batches_that_overlap_do_not_mix(apns: APNs, client: CurlPushClient, topic: str) -> None:
    alive, stranger = await apns.courier.register(topic), os.urandom(32)
    good, bad = await asyncio.gather(client.push([Push(alive, "m")] * 50), client.push([Push(stranger, "m")] * 50))
    assert {result.status for result in good} == {200}
    assert {result.reason for result in bad} == {"BadDeviceToken"}
    assert apns.connections_opened == 1


async def test_a_second_push_uses_the_connection_of_the_first(apns: APNs, client: CurlPushClient, topic: str) -> None:
    token = await apns.courier.register(topic)
    for _ in range(3):
        assert (await client.push([Push(token, "m")]))[0].status == 200
    assert apns.connections_opened == 1


async def test_goaway_in_mid_flight_loses_nothing(apns: APNs, client_for: Callable[..., Any], topic: str) -> None:
    token = await apns.courier.register(topic)
    apns.latency = 0.2
    async with client_for(apns.port) as client:
        under_way = asyncio.create_task(client.push([Push(token, "m")] * 300))
        await asyncio.sleep(0.1)
        apns.go_away("Shutdown")
        apns.latency = 0
        late = asyncio.create_task(client.push([Push(token, "m")] * 20))
        assert {result.status for result in await under_way} == {200}
        assert {result.status for result in await late} == {200}
    assert apns.connections_opened == 2


async def test_a_cut_connection_is_made_again_once(apns: APNs, client_for: Callable[..., Any], topic: str) -> None:
    token = await apns.courier.register(topic)
    apns.latency = 0.3
    async with client_for(apns.port) as client:
        under_way = asyncio.create_task(client.push([Push(token, "m")] * 50))
        await asyncio.sleep(0.15)
        apns.latency = 0
        apns.drop_connections()
        assert {result.status for result in await under_way} == {200}
        apns.latency = 0.3


async def test_a_server_that_is_gone_and_comes_back(apns: APNs, client: CurlPushClient, topic: str) -> None:
    token = await apns.courier.register(topic)
    assert (await client.push([Push(token, "m")]))[0].status == 200
    port = apns.port
    await apns.stop()
    (result,) = await client.push([Push(token, "m")])
    assert (result.status, judge(result)) == (0, Action.RETRY)
    assert result.error
    assert token.hex() not in result.error
    await apns.start(port=port)
    assert (await client.push([Push(token, "m")]))[0].status == 200


async def test_a_silent_server_costs_two_timeouts_and_no_more(client_for: Callable[..., Any]) -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    limit = timedelta(seconds=0.3)
    started = time.monotonic()
    async with client_for(server.sockets[0].getsockname()[1], connect_timeout=limit, answer_timeout=limit) as client:
        results = await client.push([Push(b"t" * 32, "m")] * 5)
    assert [result.status for result in results] == [0] * 5
    assert time.monotonic() - started < 3
    server.close()


async def test_a_connection_that_went_silent_is_replaced(apns: APNs, client_for: Callable[..., Any], topic: str) -> None:
    token = await apns.courier.register(topic)
    apns.latency = 60
    async with client_for(apns.port, answer_timeout=timedelta(seconds=0.5)) as client:
        under_way = asyncio.create_task(client.push([Push(token, "m")] * 20))
        await asyncio.sleep(0.2)
        apns.latency = 0
        assert {result.status for result in await under_way} == {200}
    assert apns.connections_opened == 2


async def test_an_impostor_of_the_right_name_gets_no_push(clock: Clock, client_for: Callable[..., Any], topic: str) -> None:
    impostor = APNs(SandboxAppleCA.make(clock.now()), clock)
    await impostor.start()
    async with client_for(impostor.port) as client:
        (result,) = await client.push([Push(b"t" * 32, "m")])
    await impostor.stop()
    assert result.status == 0
    assert "certificate" in str(result.error)
    assert (impostor.accepted, impostor.refused) == (0, {})


async def test_a_server_without_http_2_is_not_apns(ca: SandboxAppleCA, clock: Clock, client_for: Callable[..., Any]) -> None:
    key = keys.generate(KeyAlgorithm.P_256)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_identity(context, certificates.pem(ca.issue_server_certificate(key.public_key(), ("127.0.0.1",), now=clock.now())), key)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        await reader.read(-1)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    limit = timedelta(seconds=0.3)
    async with client_for(server.sockets[0].getsockname()[1], connect_timeout=limit, answer_timeout=limit) as client:
        (result,) = await client.push([Push(b"t" * 32, "m")])
    server.close()
    assert result.status == 0


async def test_an_expired_certificate_is_refused_before_connecting(
    apns: APNs, client: CurlPushClient, clock: ShiftedClock, topic: str
) -> None:
    clock.shift = timedelta(days=366)
    with pytest.raises(BadPushCertificate, match=r"expired on 20\d\d-\d\d-\d\d"):
        await client.push([Push(await apns.courier.register(topic), "m")])
    clock.shift = -timedelta(days=30)
    with pytest.raises(BadPushCertificate, match="valid from"):
        await client.push([Push(await apns.courier.register(topic), "m")])
    assert apns.connections_opened == 0


async def test_apple_is_the_second_to_notice_that_a_certificate_has_expired(
    ca: SandboxAppleCA, clock: ShiftedClock, client_for: Callable[..., Any], topic: str
) -> None:
    a_year_on = ShiftedClock(timedelta(days=366))
    service = APNs(ca, a_year_on)
    await service.start(certificate_from=clock.now())
    async with client_for(service.port) as client:
        (result,) = await client.push([Push(await service.courier.register(topic), "m")])
    await service.stop()
    assert (result.status, result.reason, judge(result)) == (403, "BadCertificate", Action.PAUSE_TOPIC)


def test_certificate_key_and_topic_must_belong_together(
    ca: SandboxAppleCA, push_pem: bytes, push_key: PrivateKey, topic: str, clock: Clock
) -> None:
    def make(pem: bytes, key: PrivateKey, wanted: str) -> CurlPushClient:
        return CurlPushClient(
            certificate_pem=pem, key=key, topic=wanted, target=PushTarget(), expiration=timedelta(days=1), clock=clock
        )

    with pytest.raises(BadPushCertificate, match="this one is for"):
        make(push_pem, push_key, new_topic())
    with pytest.raises(BadPushCertificate, match="another private key"):
        make(push_pem, keys.generate(KeyAlgorithm.P_256), topic)
    with pytest.raises(BadPushCertificate, match="one UID"):
        make(ca.root_pem, push_key, topic)
    with pytest.raises(BadPushCertificate, match="PEM"):
        make(b"-----BEGIN CERTIFICATE-----\nnonsense", push_key, topic)


async def test_a_closed_client_says_so_and_leaves_nobody_waiting(apns: APNs, client_for: Callable[..., Any], topic: str) -> None:
    token = await apns.courier.register(topic)
    apns.latency = 60
    async with client_for(apns.port) as client:
        under_way = asyncio.create_task(client.push([Push(token, "m")]))
        await asyncio.sleep(0.2)
    (result,) = await under_way
    assert result.status == 0
    assert "closed" in str(result.error)
    with pytest.raises(ClientClosed):
        await client.push([Push(token, "m")])


async def test_nothing_to_push_needs_no_connection(apns: APNs, client: CurlPushClient) -> None:
    assert await client.push([]) == []
    assert apns.connections_opened == 0


def test_a_push_keeps_its_secrets_to_itself() -> None:
    assert repr(Push(b"\xab" * 32, "the-magic")) == "Push()"
