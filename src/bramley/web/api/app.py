"""The API as one ASGI application: who may call it, what is under it, and how errors are told."""

from __future__ import annotations

import structlog
from litestar import Litestar, Request, Response, Router
from litestar.config.response_cache import ResponseCacheConfig
from litestar.connection import ASGIConnection
from litestar.di import Provide
from litestar.exceptions import HTTPException, NotAuthorizedException, ValidationException
from litestar.middleware import DefineMiddleware
from litestar.middleware.authentication import AbstractAuthenticationMiddleware, AuthenticationResult
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.types import ASGIApp

import bramley
from bramley.errors import BramleyError
from bramley.model.events import EventKind
from bramley.operations import admins, refusals
from bramley.operations.live import Live
from bramley.web import answers
from bramley.web.api import certificates, devices, enrollment, events
from bramley.web.api.views import ErrorView

PATH = "/api/v1"

log = structlog.get_logger("bramley.web.api")


def create_api(live: Live) -> ASGIApp:
    """The application for everything under /api/."""

    def provide_live() -> Live:
        return live

    return Litestar(
        [Router(PATH, route_handlers=[*devices.HANDLERS, *certificates.HANDLERS, *enrollment.HANDLERS, *events.HANDLERS])],
        dependencies={"live": Provide(provide_live, sync_to_thread=False)},
        middleware=[DefineMiddleware(BearerToken, live=live, exclude=f"^{PATH}/openapi.json$")],
        exception_handlers={BramleyError: _explain, HTTPException: _explain_http, Exception: _explain_unexpected},
        request_max_body_size=live.installation.settings.limits.api_bytes,
        response_cache_config=ResponseCacheConfig(default_expiration=None),
        logging_config=None,
        openapi_config=OpenAPIConfig(
            title="Bramley",
            version=bramley.__version__,
            path=PATH,
            render_plugins=[JsonRenderPlugin(path="/openapi.json")],
            use_handler_docstrings=True,
            components=Components(security_schemes={"admin": SecurityScheme(type="http", scheme="bearer")}),
            security=[{"admin": []}],
        ),
    )


class BearerToken(AbstractAuthenticationMiddleware):
    """Lets in whoever holds an admin token (RFC 6750 2.1); the actor of what follows is `admin:NAME`."""

    def __init__(self, app: ASGIApp, live: Live, exclude: str) -> None:
        super().__init__(app, exclude=exclude)
        self._installation = live.installation

    async def authenticate_request(self, connection: ASGIConnection) -> AuthenticationResult:  # type: ignore[type-arg]
        scheme, _space, token = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise NotAuthorizedException("Expected an admin token: Authorization: Bearer TOKEN.")
        admin = await admins.authorize(self._installation, token.strip())
        if admin is None:
            await refusals.record(self._installation, EventKind.ADMIN_REFUSED, "unknown-token", actor="admin:")
            raise NotAuthorizedException("This admin token is not known here.")
        return AuthenticationResult(user=admin, auth=f"admin:{admin.name}")


def _explain(_request: Request, error: BramleyError) -> Response[ErrorView]:  # type: ignore[type-arg]
    status = answers.operator_status(error)
    headers = {name.decode(): value.decode() for name, value in answers.retry_after(status)}
    if status >= 500:
        log.error("request failed", error=str(error), kind=type(error).__name__)
    if status == 500:
        return Response(ErrorView(error="Something went wrong here.", advice="The server's log says what."), status_code=500)
    return Response(ErrorView(error=error.message, advice=error.advice), status_code=status, headers=headers)


def _explain_http(_request: Request, error: HTTPException) -> Response[ErrorView]:  # type: ignore[type-arg]
    headers = dict(error.headers or {})
    if error.status_code == 401:
        headers["WWW-Authenticate"] = "Bearer"
    message = error.detail
    if isinstance(error, ValidationException) and isinstance(error.extra, list):
        problems = (f"{item.get('key', 'body')}: {item['message']}" for item in error.extra if "message" in item)
        message = "; ".join([message, *problems])
    return Response(ErrorView(error=message), status_code=error.status_code, headers=headers)


def _explain_unexpected(_request: Request, error: Exception) -> Response[ErrorView]:  # type: ignore[type-arg]
    log.error("request failed", exc_info=error)
    return Response(ErrorView(error="Something went wrong here.", advice="The server's log says what."), status_code=500)
