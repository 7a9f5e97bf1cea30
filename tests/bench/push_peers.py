"""What the push client is measured beside, bare pycurl and httpx; and the stand-in for APNs, in a process of its own.

Either peer opens its connection, pushes, ends it, and returns the HTTP status of each push, in no order.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import httpx2
import pycurl
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bramley.apple.push import Push
from bramley.clock import SystemClock
from bramley.pki import keys
from bramley.pki.keys import KeyAlgorithm, PrivateKey
from bramley.sandbox.apns import APNs
from bramley.sandbox.apple_ca import SandboxAppleCA, new_topic
from bramley.sandbox.tls import load_identity

IN_FLIGHT = 1000
"""Pushes under way at a time: what Apple and the stand-in allow a connection."""

HTTPX_IN_FLIGHT = 100
"""httpx is as slow with ten at a time as with a thousand."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Of the stand-in since its start. `cpu` is in seconds, user and system."""

    cpu: float
    accepted: int
    connections: int


@dataclass(frozen=True, slots=True)
class Stage:
    """A running stand-in: where it is, who may push, and a push for each of its devices."""

    port: int
    ca_pem: bytes
    topic: str
    certificate_pem: bytes
    key: PrivateKey = field(repr=False)
    pushes: list[Push] = field(repr=False)
    pipe: Connection = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """What the push client sends with a push."""
        return {
            "apns-topic": self.topic,
            "apns-push-type": "mdm",
            "apns-priority": "10",
            "apns-expiration": str(int(time.time()) + 86_400),
            "content-type": "application/json",
        }

    def url(self, push: Push) -> str:
        return f"https://127.0.0.1:{self.port}/3/device/{push.token.hex()}"

    def tally(self) -> Tally:
        self.pipe.send("tally")
        return Tally(*self.pipe.recv())


@contextmanager
def stand_in(devices: int) -> Iterator[Stage]:
    """The stand-in, with as many devices, all of them away, so that it keeps a push for each."""
    spawning = multiprocessing.get_context("spawn")
    ours, theirs = spawning.Pipe()
    process = spawning.Process(target=_serve, args=(theirs, devices), daemon=True)
    process.start()
    theirs.close()
    try:
        port, ca_pem, topic, certificate_pem, key, tokens = ours.recv()
        pushes = [Push(token, f"magic {number}") for number, token in enumerate(tokens)]
        yield Stage(port, ca_pem, topic, certificate_pem, keys.from_pkcs8(key), pushes, ours)
    finally:
        ours.close()  # which is its sign to end
        process.join(20)


def _serve(pipe: Connection, devices: int) -> None:
    asyncio.run(_answer(pipe, devices))


async def _answer(pipe: Connection, devices: int) -> None:
    clock, topic, key = SystemClock(), new_topic(), keys.generate(KeyAlgorithm.RSA_2048)
    ca = SandboxAppleCA.make(clock.now())
    certificate = ca.issue_push_certificate(key.public_key(), topic=topic, now=clock.now())
    apns = APNs(ca, clock)
    await apns.start()
    tokens = [await apns.courier.register(topic) for _ in range(devices)]
    pipe.send((apns.port, ca.root_pem, topic, ca.chain_pem(certificate), keys.to_pkcs8(key), tokens))
    try:
        while await asyncio.to_thread(pipe.recv):
            pipe.send((time.process_time(), apns.accepted, apns.connections_opened))
    except EOFError:
        await apns.stop()


def bare_pycurl(stage: Stage, pushes: Sequence[Push]) -> list[int]:
    """The least that pycurl can do: one multi handle with its own way of waiting, handles used again, answers not read."""
    multi = pycurl.CurlMulti()
    multi.setopt(pycurl.M_PIPELINING, pycurl.PIPE_MULTIPLEX)
    multi.setopt(pycurl.M_MAX_HOST_CONNECTIONS, 1)
    multi.setopt(pycurl.M_MAX_CONCURRENT_STREAMS, IN_FLIGHT)
    idle = _handles(stage, min(IN_FLIGHT, len(pushes)))
    waiting, statuses = iter(pushes), list[int]()
    while len(statuses) < len(pushes):
        while idle and (push := next(waiting, None)) is not None:
            handle = idle.pop()
            handle.setopt(pycurl.URL, stage.url(push))
            handle.setopt(pycurl.POSTFIELDS, json.dumps({"mdm": push.push_magic}))
            multi.add_handle(handle)
        multi.perform()
        _left, good, bad = multi.info_read(IN_FLIGHT)
        ended = [*good, *(handle for handle, _code, _message in bad)]
        for handle in ended:
            statuses.append(handle.getinfo(pycurl.RESPONSE_CODE))
            multi.remove_handle(handle)
        idle += ended
        if not ended:
            multi.select(1.0)
    multi.close()
    return statuses


def _handles(stage: Stage, count: int) -> list[Any]:
    options = {
        pycurl.POST: 1,
        pycurl.HTTP_VERSION: pycurl.CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE,
        pycurl.CAINFO_BLOB: stage.ca_pem,
        pycurl.SSLCERTTYPE: "PEM",
        pycurl.SSLCERT_BLOB: stage.certificate_pem,
        pycurl.SSLKEYTYPE: "PEM",
        pycurl.SSLKEY_BLOB: stage.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        pycurl.PIPEWAIT: 1,
        pycurl.TIMEOUT_MS: 30_000,
        pycurl.PROXY: "",
        pycurl.NOSIGNAL: 1,
        pycurl.HTTPHEADER: [*(f"{name}: {value}" for name, value in stage.headers.items()), "accept:"],
    }
    handles = [pycurl.Curl() for _ in range(count)]
    for handle in handles:
        for option, value in options.items():
            handle.setopt(option, value)
    return handles


def httpx_over_http2(stage: Stage, context: ssl.SSLContext, pushes: Sequence[Push]) -> list[int]:
    """httpx on asyncio, HTTP/2 by h2, a task for each of the pushes under way."""
    return asyncio.run(_httpx(stage, context, pushes))


def context_of(stage: Stage) -> ssl.SSLContext:
    """The same certificate and trust for a client on `ssl`. Made beforehand, since its key is encrypted and read again."""
    context = ssl.create_default_context(cadata=stage.ca_pem.decode())
    load_identity(context, stage.certificate_pem, stage.key)
    return context


async def _httpx(stage: Stage, context: ssl.SSLContext, pushes: Sequence[Push]) -> list[int]:
    waiting, statuses, headers = iter(pushes), list[int](), stage.headers
    limits = httpx2.Limits(max_connections=1)
    async with httpx2.AsyncClient(http1=False, http2=True, verify=context, limits=limits, timeout=30, trust_env=False) as client:

        async def one_after_another() -> None:
            for push in waiting:
                answer = await client.post(stage.url(push), headers=headers, content=json.dumps({"mdm": push.push_magic}))
                statuses.append(answer.status_code)

        await asyncio.gather(*(one_after_another() for _ in range(HTTPX_IN_FLIGHT)))
    return statuses
