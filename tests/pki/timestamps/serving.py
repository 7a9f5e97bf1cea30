"""A web server in clear that answers timestamp queries, well or otherwise."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.pki.timestamps.authority import Authority

Said = Callable[[bytes], tuple[int, str, bytes]]
"""From a query to status, content type and body."""


@dataclass
class Served:
    """An authority's address, and the queries that came."""

    url: str
    heard: list[tuple[str, bytes]] = field(default_factory=list)


@contextmanager
def serving(said: Said) -> Iterator[Served]:
    """A web server on a free port of this machine, in clear, that answers each query so."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["Content-Length"]))
            served.heard.append((self.headers["Content-Type"], query))
            status, kind, body = said(query)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = Served(f"http://127.0.0.1:{server.server_port}/ts01")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def granting(authority: Authority) -> Said:
    return lambda query: (200, "application/timestamp-reply", authority.reply(query))
