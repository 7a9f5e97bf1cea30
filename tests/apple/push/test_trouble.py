"""What becomes of a batch when APNs, the network or a proxy misbehaves in the middle of it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta

import pytest

from bramley.apple.push import Action, Push, PushResult, PushTarget, judge
from bramley.apple.push.client import CurlPushClient
from bramley.apple.push.proxy import read_proxy
from bramley.apple.push.stages import Stage
from bramley.sandbox.apns import APNs
from bramley.sandbox.apple_ca import SandboxAppleCA
from tests.apple.push.connect_proxy import ConnectProxy, connect_proxy

Make = Callable[..., AbstractAsyncContextManager[CurlPushClient]]

PASSWORD = "sesame/open@hinges:oiled now"
WRITTEN = "sesame%2Fopen%40hinges%3Aoiled%20now"
SHORT = timedelta(seconds=0.4)


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.002)


def _states(results: object) -> set[tuple[int, Action]]:
    assert isinstance(results, list)
    assert all(isinstance(result, PushResult) for result in results)
    assert all(result.error for result in results if result.status == 0)
    return {(result.status, judge(result)) for result in results}


async def test_goaway_in_the_middle_of_two_thousand(apns: APNs, client: CurlPushClient, topic: str) -> None:
    tokens = [await apns.courier.register(topic) for _ in range(2000)]
    await apns.courier.unregister(tokens[1999])
    apns.latency = 0.3  # the client has heard of the end before the last answer and the close that follows it
    under_way = asyncio.create_task(client.push([Push(token, "m") for token in tokens]))
    await _until(lambda: apns.accepted > 300)
    apns.go_away("Shutdown")
    apns.latency, at_goaway = 0, apns.accepted
    results = await under_way
    assert [result.status for result in results] == [200] * 1999 + [410]
    assert at_goaway < 1999
    assert apns.connections_opened == 2
    assert apns.accepted == 1999  # what the first connection had answered was not sent again


async def test_a_cut_in_the_middle_of_two_thousand(apns: APNs, client: CurlPushClient, topic: str) -> None:
    token = await apns.courier.register(topic)
    under_way = asyncio.create_task(client.push([Push(token, "m")] * 2000))
    await _until(lambda: apns.accepted > 300)
    apns.drop_connections()
    assert _states(await under_way) == {(200, Action.DELIVERED)}
    assert apns.connections_opened == 2


async def test_a_connection_that_is_cut_each_time_is_the_result_and_the_next_batch_starts_anew(
    apns: APNs, client: CurlPushClient, topic: str
) -> None:
    token = await apns.courier.register(topic)
    apns.stall()
    under_way = asyncio.create_task(client.push([Push(token, "m")] * 20))
    while not under_way.done():
        apns.drop_connections()
        await asyncio.sleep(0.02)
    assert _states(await under_way) == {(0, Action.RETRY)}
    tried = apns.connections_opened
    assert 2 <= tried <= 12  # libcurl tries again by itself where a connection ended without an octet
    apns.resume_answers()
    assert _states(await client.push([Push(token, "m")] * 20)) == {(200, Action.DELIVERED)}
    assert apns.connections_opened == tried + 1


async def test_gone_in_the_middle_of_a_batch_and_back_later(apns: APNs, client: CurlPushClient, topic: str) -> None:
    token, port = await apns.courier.register(topic), apns.port
    apns.latency = 0.3
    under_way = asyncio.create_task(client.push([Push(token, "m")] * 2000))
    await _until(lambda: apns.accepted > 300)
    await apns.stop()
    before = await under_way
    assert _states(before) == {(200, Action.DELIVERED), (0, Action.RETRY)}
    assert apns.accepted == sum(result.status == 200 for result in before)
    assert {result.failed_at for result in before if result.status == 0} == {Stage.CONNECT}
    apns.latency = 0
    await apns.start(port=port)
    assert _states(await client.push([Push(token, "m")] * 50)) == {(200, Action.DELIVERED)}


async def test_a_stall_ends_with_the_timeout_and_the_next_batch_has_a_connection_of_its_own(
    apns: APNs, client_for: Make, topic: str
) -> None:
    token = await apns.courier.register(topic)
    async with client_for(apns.port, answer_timeout=SHORT) as client:
        assert _states(await client.push([Push(token, "m")])) == {(200, Action.DELIVERED)}
        apns.stall()
        results = await asyncio.wait_for(client.push([Push(token, "m")] * 200), 5)
        assert _states(results) == {(0, Action.RETRY)}
        assert {result.failed_at for result in results} == {Stage.HTTP2}
        tried = apns.connections_opened
        apns.resume_answers()
        assert _states(await client.push([Push(token, "m")] * 200)) == {(200, Action.DELIVERED)}
    assert (tried, apns.connections_opened) == (2, 3)


@pytest.mark.parametrize("reason", ["TooManyRequests", "ServiceUnavailable", "InternalServerError", "Shutdown"])
async def test_when_to_come_back_is_told_for_each_push_alone(reason: str, apns: APNs, client: CurlPushClient, topic: str) -> None:
    busy, free = await apns.courier.register(topic), await apns.courier.register(topic)
    apns.refuse_token(busy, reason, retry_after=90)
    told, fine, again = await client.push([Push(busy, "m"), Push(free, "m"), Push(busy, "m")])
    assert (told.retry_after, fine.retry_after, again.retry_after) == (90.0, None, 90.0)
    assert judge(told) in (Action.RETRY, Action.BACK_OFF_TOKEN)
    assert fine.status == 200


def _through(proxy: ConnectProxy, ca: SandboxAppleCA, port: int, credentials: str = "") -> PushTarget:
    return PushTarget("127.0.0.1", port, ca.root_pem, f"http://{credentials}127.0.0.1:{proxy.port}")


@pytest.mark.parametrize("exception", ["", "*", "127.0.0.1"])
async def test_every_connection_goes_through_the_proxy_whatever_the_environment_exempts(
    exception: str, apns: APNs, ca: SandboxAppleCA, client_for: Make, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", exception)
    token = await apns.courier.register(topic)
    async with connect_proxy() as proxy, client_for(0, target=_through(proxy, ca, apns.port)) as client:
        for _ in range(3):
            assert _states(await client.push([Push(token, "m")] * 100)) == {(200, Action.DELIVERED)}
            apns.drop_connections()
            await asyncio.sleep(0.05)
        assert proxy.asked == [f"CONNECT 127.0.0.1:{apns.port} 200"] * 3
    assert apns.connections_opened == 3


async def test_without_a_proxy_in_the_settings_the_environment_has_no_say(
    apns: APNs, client: CurlPushClient, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connect_proxy(refuse=403) as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("all_proxy", f"http://127.0.0.1:{proxy.port}")
        assert _states(await client.push([Push(await apns.courier.register(topic), "m")])) == {(200, Action.DELIVERED)}
        assert proxy.asked == []


async def test_a_proxy_that_wants_a_password_gets_it(apns: APNs, ca: SandboxAppleCA, client_for: Make, topic: str) -> None:
    token = await apns.courier.register(topic)
    async with connect_proxy(credentials=f"jo:{PASSWORD}") as proxy:
        async with client_for(0, target=_through(proxy, ca, apns.port, f"jo:{WRITTEN}@")) as client:
            assert _states(await client.push([Push(token, "m")])) == {(200, Action.DELIVERED)}
        async with client_for(0, target=_through(proxy, ca, apns.port, "jo:wrong@")) as client:
            (result,) = await client.push([Push(token, "m")])
    assert (result.status, result.failed_at) == (0, Stage.PROXY)
    assert "407" in str(result.error)


@pytest.mark.parametrize("status", [403, 407, 502])
async def test_a_proxy_that_refuses_is_the_result_and_a_later_batch_may_succeed(
    status: int, apns: APNs, ca: SandboxAppleCA, client_for: Make, topic: str
) -> None:
    token = await apns.courier.register(topic)
    async with connect_proxy(refuse=status) as proxy, client_for(0, target=_through(proxy, ca, apns.port)) as client:
        results = await client.push([Push(token, "m")] * 10)
        assert _states(results) == {(0, Action.RETRY)}
        assert {result.failed_at for result in results} == {Stage.PROXY}
        assert all(str(status) in str(result.error) for result in results)
        assert apns.connections_opened == 0
        proxy._refuse = 0
        assert _states(await client.push([Push(token, "m")] * 10)) == {(200, Action.DELIVERED)}


@pytest.mark.parametrize(
    "proxy",
    [
        "socks9://jo:{}@127.0.0.1:1",
        "http://jo:{}@127.0.0.1:99999",
        "http://jo:{}@127.0.0.1:1",
        "http://jo:{}@no such host:1",
        "http://[jo:{}@127.0.0.1",
        "jo:{}@nobody.invalid:3128",
        "://jo:{}@",
        "http://jo:{}@" + "a" * 300 + ":1",
    ],
)
@pytest.mark.parametrize("password", [WRITTEN, PASSWORD, "sesame"])
async def test_a_proxys_password_is_in_no_error(
    proxy: str, password: str, apns: APNs, ca: SandboxAppleCA, client_for: Make, topic: str
) -> None:
    target = PushTarget("127.0.0.1", apns.port, ca.root_pem, proxy.format(password))
    assert "jo:" not in repr(target)
    async with client_for(0, target=target, connect_timeout=SHORT, answer_timeout=SHORT) as client:
        (result,) = await client.push([Push(os.urandom(32), "m")])
    assert result.status == 0
    assert result.error
    assert not [word for word in ("sesame", "open", "hinges", "oiled", "jo:") if word in result.error]
    assert apns.connections_opened == 0


@pytest.mark.parametrize(
    ("url", "shown", "username", "password"),
    [
        ("", "", "", ""),
        ("proxy.example:3128", "proxy.example:3128", "", ""),
        ("http://proxy.example:3128", "http://proxy.example:3128", "", ""),
        ("http://jo@proxy.example:3128", "http://proxy.example:3128", "jo", ""),
        (f"http://jo:{WRITTEN}@[::1]:3128/", "http://[::1]:3128/", "jo", PASSWORD),
        (f"jo:{PASSWORD}@proxy.example", "proxy.example", "jo", PASSWORD),
        ("http://jo:a://b@proxy.example", "http://proxy.example", "jo", "a://b"),
        ("jo:pw@", "http://", "jo", "pw"),
        ("jo:a://b@proxy.example", "proxy.example", "jo", "a://b"),
        ("socks5h://jo:pw@proxy.example:1080", "socks5h://proxy.example:1080", "jo", "pw"),
    ],
)
def test_a_proxys_url_is_taken_apart(url: str, shown: str, username: str, password: str) -> None:
    found = read_proxy(url)
    assert (found.url, found.username, found.password) == (shown, username, password)
    assert not password or password not in repr(found)
