"""The root of all that is served: dispatch on the path before any framework; then one answer, one line of log, one count."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import count
from typing import Final

import structlog

from bramley.errors import BadInput, BramleyError
from bramley.operations.live import Live
from bramley.operations.ocsp import OCSP
from bramley.web import answers, nanomdm
from bramley.web.asgi import ASGIApp, Handler, Message, Receive, Request, Response, Scope, Send, respond, text
from bramley.web.device import enroll, pki
from bramley.web.device.mdm import MDM
from bramley.web.device.revocation import CRLs, OCSPOverHTTP
from bramley.web.device.scep import PATH as SCEP_PATH
from bramley.web.device.scep import SCEP
from bramley.web.errors import Disconnected
from bramley.web.limits import Gate
from bramley.web.log import shown
from bramley.web.metrics import Metrics
from bramley.web.observe import Observe
from bramley.web.proxy import Proxies
from bramley.web.sign_in import SignIn

API_PREFIX: Final = "/api/"

log = structlog.get_logger("bramley.web")


@dataclass(frozen=True, slots=True)
class Route:
    """Handlers by method, and how their errors are answered. `name` stands in logs and metrics in place of the path."""

    name: str
    handlers: Mapping[str, Handler]
    explain: Callable[[BaseException], Response] = answers.for_device


class Application:
    """The two ASGI applications of a running server.

    `main` serves everything, on the listener that asks for no client certificate. `device` serves check-in and connect
    alone, on the one that does. Before either sees a request, `proxies` has settled who sent it.
    """

    def __init__(self, live: Live) -> None:
        # here, because the framework takes longer to import than all of ours
        from bramley.web.api.app import create_api

        settings = live.installation.settings
        self.metrics = metrics = Metrics()
        self.proxies = proxies = Proxies(settings.proxy, metrics)
        gate = Gate(settings.limits, live.installation.clock, metrics)
        sign_in = SignIn(live, gate)
        ocsp = OCSPOverHTTP(live.installation, OCSP(live.installation))
        scep = SCEP(live, metrics, gate)
        routes, prefixes = _main_routes(live, metrics, scep, sign_in, ocsp), _main_prefixes(live, gate, scep, ocsp)
        former = _former_routes(settings.former_paths, routes, prefixes)
        self.main: ASGIApp = Dispatch(metrics, proxies, {**former, **routes}, prefixes, create_api(live, sign_in))
        self.device: ASGIApp = Dispatch(metrics, proxies, {**former, **_mdm_routes(live, metrics)})


@dataclass(frozen=True, slots=True)
class Dispatch:
    """An ASGI application over exact paths, path prefixes that end in a slash, and the API behind its own prefix."""

    metrics: Metrics
    proxies: Proxies
    exact: Mapping[str, Route]
    prefixes: Mapping[str, Route] = field(default_factory=dict)
    api: ASGIApp | None = None
    # What traces are made of: random once, then counted, since a random number costs a system call.
    run: str = field(default_factory=partial(secrets.token_hex, 6))
    numbers: Iterator[int] = field(default_factory=partial(count, 1))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError(f"Expected HTTP; {scope['type']} came.")
        began = time.perf_counter()
        self.proxies.settle(scope)
        trace = f"{self.run}{next(self.numbers):x}"
        path: str = scope["path"]
        if self.api is not None and path.startswith(API_PREFIX):
            name, status = "api", await _pass_on(self.api, scope, receive, send, trace)
        else:
            route = self.exact.get(path) or self.prefixes.get(path[: path.find("/", 1) + 1])
            name = route.name if route else "none"
            response = await _handle(route, Request(scope, receive, trace)) if route else text(404, "Not found.")
            if response is None:
                return
            status = response.status
            await respond(send, response, trace)
        seconds = time.perf_counter() - began
        self.metrics.answered(name, status, seconds)
        log.debug("request", trace=trace, route=name, status=int(status), seconds=round(seconds, 6))


def _main_routes(live: Live, metrics: Metrics, scep: SCEP, sign_in: SignIn, ocsp: OCSPOverHTTP) -> Mapping[str, Route]:
    observe, brought = Observe(live, metrics), nanomdm.PushCertificates(live, sign_in)
    return {
        **_mdm_routes(live, metrics),
        SCEP_PATH: Route("scep", {"GET": scep.get, "POST": scep.post}),
        pki.OCSP_PATH: Route("ocsp", {"POST": ocsp.post}),
        nanomdm.PATH: Route("nanomdm", {"GET": brought.get, "PUT": brought.put}, nanomdm.explain),
        "/healthz": _page("healthz", observe.health),
        "/readyz": _page("readyz", observe.ready),
        "/version": _page("version", observe.version),
        "/metrics": _page("metrics", observe.metrics),
    }


def _main_prefixes(live: Live, gate: Gate, scep: SCEP, ocsp: OCSPOverHTTP) -> Mapping[str, Route]:
    return {
        f"{SCEP_PATH}/": Route("scep", {"GET": scep.get_by_url, "POST": scep.post_by_url}),
        # GET alone: each one begins an enrollment
        enroll.PREFIX: Route("enroll", {"GET": enroll.Enroll(live, gate)}, answers.for_person),
        pki.PREFIX: _page("pki", pki.PublicPKI(live, CRLs(live.installation), ocsp)),
    }


def _mdm_routes(live: Live, metrics: Metrics) -> Mapping[str, Route]:
    skew = timedelta(minutes=live.installation.settings.identity.clock_skew_minutes)
    mdm = MDM(live, metrics, skew)
    return {f"/mdm/{name}": Route(f"mdm-{name}", {"PUT": mdm}) for name in ("checkin", "connect")}


def _former_routes(paths: Sequence[str], own: Mapping[str, Route], prefixes: Mapping[str, Route]) -> Mapping[str, Route]:
    """Where the devices of a former MDM are served too. BadInput for what is no path, or takes the place of another page."""
    for path in paths:
        plain = path.startswith("/") and "//" not in path and not set(path) & set("?#% ")
        if not plain or not path.isascii() or not path.isprintable():
            raise BadInput(f"former_paths must hold paths such as /mdm; found {path!r}.")
        above = f"{path.rstrip('/')}/"
        if (path in own and not own[path].name.startswith("mdm-")) or above.startswith((API_PREFIX, *prefixes)):
            raise BadInput(f"former_paths must not hold {path}: something else is served there.")
    handlers = own["/mdm/connect"].handlers
    return {path: Route("mdm-former", handlers) for path in paths}


def _page(name: str, handler: Handler) -> Route:
    return Route(name, {"GET": handler, "HEAD": handler}, answers.for_person)


async def _handle(route: Route, request: Request) -> Response | None:
    """The route's answer, whatever happens; None where nobody waits for one."""
    handler = route.handlers.get(request.scope["method"])
    if handler is None:
        allowed = ", ".join(route.handlers)
        response = text(405, f"Expected {allowed}.")
        return Response(405, response.body, response.content_type, ((b"allow", allowed.encode()),))
    try:
        return await handler(request)
    except Disconnected:
        return None
    except BramleyError as error:
        response = route.explain(error)
        level = log.error if response.status >= 500 else log.info
        status = int(response.status)
        level("refused", trace=request.trace, route=route.name, status=status, client=request.client, error=str(error))
        return response
    except Exception as error:
        log.error("request failed", trace=request.trace, route=route.name, traceback=shown(error))
        return route.explain(error)


async def _pass_on(app: ASGIApp, scope: Scope, receive: Receive, send: Send, trace: str) -> int:
    """Lets another application answer, adds X-Request-ID, and returns its status."""
    status = 500

    async def send_and_note(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", trace.encode())]
        await send(message)

    await app(scope, receive, send_and_note)
    return status
