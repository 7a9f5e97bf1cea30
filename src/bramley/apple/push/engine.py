"""One thread that owns a libcurl multi handle: requests go in, answers come out, over one HTTP/2 connection.

libcurl may be called from one thread only, so the thread owns every handle and a self-pipe wakes it. It waits on exactly the
sockets that libcurl names (`multi_socket_action`), so thousands of open files elsewhere in the process do not matter.

A request that fails in transport (refused connection, reset, GOAWAY, timeout) is sent once more, on a new connection; a
second failure is its result. A timeout condemns the whole connection: HTTP/2 gives no sign of a path that has gone silent.
"""

from __future__ import annotations

import os
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import pycurl

from bramley.apple.push.exchange import Answer, Batch, Exchange, Request
from bramley.apple.push.stages import Progress, failed_at

_TRUST_FAILURES: Final = frozenset({pycurl.E_PEER_FAILED_VERIFICATION, pycurl.E_SSL_CACERT_BADFILE, pycurl.E_SSL_CERTPROBLEM})
"""Failures that a second attempt cannot mend: the server's certificate or our own."""


class Engine:
    """Sends requests until closed.

    `configure` sets the options that every request shares on a fresh curl handle. At most `in_flight` requests are with
    libcurl at a time, which in turn respects the server's own limit on concurrent streams.
    """

    def __init__(self, configure: Callable[[Any], None], *, in_flight: int = 1000) -> None:
        self._configure = configure
        self._in_flight = in_flight
        self._lock = threading.Lock()
        self._inbox: deque[Exchange] = deque()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._wake_read, self._wake_write = -1, -1

    def submit(self, requests: Sequence[Request], report: Callable[[list[Answer]], None]) -> bool:
        """Takes requests over and calls `report` once, on the engine's thread, with their answers in order.

        False, and no report, where the engine has been closed.
        """
        batch = Batch(len(requests), report)
        with self._lock:
            if self._closing:
                return False
            self._inbox.extend(Exchange(request, batch, index) for index, request in enumerate(requests))
            if self._thread is None:
                self._wake_read, self._wake_write = os.pipe()
                os.set_blocking(self._wake_read, False)
                os.set_blocking(self._wake_write, False)
                self._thread = threading.Thread(target=self._run, name="bramley-push", daemon=True)
                self._thread.start()
            self._wake()
        return True

    def close(self) -> None:
        """Ends the thread and the connection; blocks until both are gone. What had no answer is reported as such."""
        with self._lock:
            self._closing = True
            thread = self._thread
            if thread is not None:
                self._wake()
        if thread is not None:
            thread.join()

    def _wake(self) -> None:
        # a full pipe already holds a wake-up; a closed one (-1) belongs to a thread that has ended
        with suppress(BlockingIOError):
            if self._wake_write >= 0:
                os.write(self._wake_write, b"w")

    def _run(self) -> None:
        connection = _Connection(self._wake_read)
        idle: list[Any] = []
        try:
            while True:
                with self._lock:
                    if self._closing:
                        break
                    room = self._in_flight - len(connection.exchanges)
                    admitted = [self._inbox.popleft() for _ in range(min(room, len(self._inbox)))]
                for exchange in admitted:
                    connection.start(idle.pop() if idle else self._new_handle(), exchange)
                connection.turn()
                connection = self._collect(connection, idle)
        finally:
            with self._lock:
                self._closing = True
                abandoned = [*connection.exchanges.values(), *self._inbox]
                self._inbox.clear()
                os.close(self._wake_read)
                os.close(self._wake_write)
                self._wake_read = self._wake_write = -1
            connection.close()
            for exchange in abandoned:
                exchange.batch.put(exchange.index, Answer(0, error="the push client was closed before an answer came"))

    def _new_handle(self) -> Any:
        handle = pycurl.Curl()
        self._configure(handle)
        return handle

    def _collect(self, connection: _Connection, idle: list[Any]) -> _Connection:
        """Reports what is finished and sends what failed once more; the connection to go on with."""
        silence: Answer | None = None
        again: list[tuple[Any, Exchange]] = []
        for handle, code, message in connection.finished():
            exchange = connection.take(handle)
            if code == pycurl.E_OPERATION_TIMEDOUT:
                silence = _failure(handle, code, message)
            if code and not exchange.second_try and code not in _TRUST_FAILURES:
                again.append((handle, exchange))
                continue
            answer = _failure(handle, code, message) if code else exchange.answer(handle.getinfo(pycurl.RESPONSE_CODE))
            idle.append(handle)
            exchange.batch.put(exchange.index, answer)
        successor = connection
        if silence is not None:
            # what else is on the condemned connection has had a try there, and nothing told it so
            for handle in list(connection.exchanges):
                exchange = connection.take(handle)
                if exchange.second_try:
                    idle.append(handle)
                    exchange.batch.put(exchange.index, silence)
                else:
                    again.append((handle, exchange))
            connection.close()
            successor = _Connection(self._wake_read)
        for handle, exchange in again:
            exchange.second_try = True
            successor.start(handle, exchange)
        return successor


def _failure(handle: Any, code: int, message: str) -> Answer:
    """Why and where a transfer ended, asked of its handle before that is used again."""
    progress = Progress(
        looked_up=handle.getinfo(pycurl.NAMELOOKUP_TIME) > 0,
        connected=handle.getinfo(pycurl.CONNECT_TIME) > 0,
        tunnelled=not handle.getinfo(pycurl.USED_PROXY) or handle.getinfo(pycurl.HTTP_CONNECTCODE) == 200,
        # on a connection that was there already libcurl measures none of these times, but counts what it has sent
        secured=handle.getinfo(pycurl.APPCONNECT_TIME) > 0 or handle.getinfo(pycurl.REQUEST_SIZE) > 0,
    )
    error = message or f"curl error {code}"
    if code == pycurl.E_PEER_FAILED_VERIFICATION and (shown := handle.getinfo_raw(pycurl.INFO_CERTINFO)):
        issuer = dict(pair for pair in shown[0] if len(pair) == 2).get(b"Issuer", b"nobody")
        error = f"{error}; the server's certificate was issued by {issuer.decode(errors='replace')}"
    return Answer(0, error=error, failed_at=failed_at(code, message, progress))


class _Connection:
    """A multi handle held to one connection, the selector for its sockets, and what is under way on it."""

    def __init__(self, wake: int) -> None:
        self._wake = wake
        self._selector = selectors.DefaultSelector()
        self._selector.register(wake, selectors.EVENT_READ)
        self._due: float | None = None
        self.exchanges: dict[Any, Exchange] = {}
        # what each handle sends already: a batch shares its headers
        self._headers: dict[Any, tuple[str, ...]] = {}
        self._multi = multi = pycurl.CurlMulti()
        multi.setopt(pycurl.M_PIPELINING, pycurl.PIPE_MULTIPLEX)
        multi.setopt(pycurl.M_MAX_HOST_CONNECTIONS, 1)
        multi.setopt(pycurl.M_MAX_CONCURRENT_STREAMS, 1000)
        multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_socket)
        multi.setopt(pycurl.M_TIMERFUNCTION, self._on_timer)

    def start(self, handle: Any, exchange: Exchange) -> None:
        exchange.begin()
        handle.setopt(pycurl.URL, exchange.request.url)
        if self._headers.get(handle) is not exchange.request.headers:
            self._headers[handle] = exchange.request.headers
            handle.setopt(pycurl.HTTPHEADER, list(exchange.request.headers))
        handle.setopt(pycurl.POSTFIELDS, exchange.request.body)
        # a list takes each line without a call into Python: what the lines say is read once, at the end
        handle.setopt(pycurl.HEADERFUNCTION, exchange.lines.append)
        handle.setopt(pycurl.WRITEFUNCTION, exchange.take_body)
        self.exchanges[handle] = exchange
        self._multi.add_handle(handle)

    def take(self, handle: Any) -> Exchange:
        self._multi.remove_handle(handle)
        return self.exchanges.pop(handle)

    def turn(self) -> None:
        """Waits for a socket, the timer or a wake-up, and lets libcurl work."""
        wait = None if self._due is None else max(0.0, self._due - time.monotonic())
        for key, mask in self._selector.select(wait):
            if key.fd == self._wake:
                with suppress(BlockingIOError):
                    os.read(self._wake, 4096)
                continue
            ready = (pycurl.CSELECT_IN if mask & selectors.EVENT_READ else 0) | (
                pycurl.CSELECT_OUT if mask & selectors.EVENT_WRITE else 0
            )
            self._multi.socket_action(key.fd, ready)
        if self._due is not None and time.monotonic() >= self._due:
            self._due = None
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)

    def finished(self) -> list[tuple[Any, int, str]]:
        """What has ended since the last call: handle, curl's error code (0 for none) and message."""
        ended: list[tuple[Any, int, str]] = []
        while True:
            waiting, good, bad = self._multi.info_read()
            ended += [(handle, 0, "") for handle in good]
            ended += bad
            if not waiting:
                return ended

    def close(self) -> None:
        for handle in list(self.exchanges):
            self.take(handle)
        self._multi.close()
        self._selector.close()

    def _on_socket(self, what: int, fd: int, _multi: Any, _data: Any) -> None:
        with suppress(KeyError):
            self._selector.unregister(fd)
        events = (selectors.EVENT_READ if what in (pycurl.POLL_IN, pycurl.POLL_INOUT) else 0) | (
            selectors.EVENT_WRITE if what in (pycurl.POLL_OUT, pycurl.POLL_INOUT) else 0
        )
        if what != pycurl.POLL_REMOVE and events:
            self._selector.register(fd, events)

    def _on_timer(self, milliseconds: int) -> None:
        self._due = None if milliseconds < 0 else time.monotonic() + milliseconds / 1000
