"""The API as one ASGI application: who may call it, what is under it, and how errors are told."""

from __future__ import annotations

from typing import Any, TypeAlias, cast

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
from litestar.types import ASGIApp as LitestarApp

import bramley
from bramley.errors import BramleyError
from bramley.operations.live import Live
from bramley.web import answers
from bramley.web.addresses import origin
from bramley.web.api import (
    approvals,
    authorities,
    certificates,
    devices,
    enrollment,
    escrow,
    events,
    identities,
    network,
    network_templates,
    pins,
    profiles,
    push,
    push_requests,
    quarantine,
    waves,
)
from bramley.web.api.views import ErrorView
from bramley.web.asgi import ASGIApp
from bramley.web.log import shown
from bramley.web.sign_in import SignIn

PATH = "/api/v1"

AnyRequest: TypeAlias = Request[Any, Any, Any]
AnyConnection: TypeAlias = ASGIConnection[Any, Any, Any, Any]

log = structlog.get_logger("bramley.web.api")


def create_api(live: Live, sign_in: SignIn) -> ASGIApp:
    """The application for everything under /api/."""

    def provide_live() -> Live:
        return live

    nouns = (
        devices,
        quarantine,
        identities,
        network_templates,
        network,
        escrow,
        pins,
        profiles,
        certificates,
        authorities,
        approvals,
        push,
        push_requests,
        waves,
        enrollment,
        events,
    )
    application = Litestar(
        [Router(PATH, route_handlers=[handler for noun in nouns for handler in noun.HANDLERS])],
        dependencies={"live": Provide(provide_live, sync_to_thread=False)},
        middleware=[DefineMiddleware(BearerToken, sign_in=sign_in, exclude=f"^{PATH}/openapi.json$")],
        exception_handlers={BramleyError: _explain, HTTPException: _explain_http, Exception: _explain_unexpected},
        request_max_body_size=live.installation.settings.limits.api_bytes,
        response_cache_config=ResponseCacheConfig(default_expiration=None),
        logging_config=None,
        openapi_config=OpenAPIConfig(
            title="Bramley",
            version=bramley.__version__,
            path=f"{PATH}/openapi.json",
            render_plugins=[JsonRenderPlugin(path="/")],
            use_handler_docstrings=True,
            components=Components(security_schemes={"admin": SecurityScheme(type="http", scheme="bearer")}),
            security=[{"admin": []}],
        ),
    )
    return cast("ASGIApp", application)


class BearerToken(AbstractAuthenticationMiddleware):
    """Lets in whoever holds an admin token (RFC 6750 2.1); the actor of what follows is `admin:NAME`."""

    def __init__(self, app: LitestarApp, sign_in: SignIn, exclude: str) -> None:
        super().__init__(app, exclude=exclude)
        self._sign_in = sign_in

    async def authenticate_request(self, connection: AnyConnection) -> AuthenticationResult:
        scheme, _space, token = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise NotAuthorizedException("Expected an admin token: Authorization: Bearer TOKEN.")
        sender = origin(connection.client.host if connection.client else "")
        admin = await self._sign_in.admit(token.strip(), sender)
        if admin is None:
            raise NotAuthorizedException("This admin token is not known here.")
        return AuthenticationResult(user=admin, auth=f"admin:{admin.name}")


def _explain(_request: AnyRequest, error: BramleyError) -> Response[ErrorView]:
    status = answers.operator_status(error)
    headers = {name.decode(): value.decode() for name, value in answers.retry_after(error, status)}
    if status >= 500:
        log.error("request failed", error=str(error), kind=type(error).__name__)
    message, advice = answers.operator_words(error, status)
    return Response(ErrorView(error=message, advice=advice), status_code=status, headers=headers)


def _explain_http(_request: AnyRequest, error: HTTPException) -> Response[ErrorView]:
    headers = dict(error.headers or {})
    if error.status_code == 401:
        headers["WWW-Authenticate"] = "Bearer"
    message = error.detail
    if isinstance(error, ValidationException) and isinstance(error.extra, list):
        problems = (f"{item.get('key', 'body')}: {item['message']}" for item in error.extra if "message" in item)
        message = "; ".join([message, *problems])
    return Response(ErrorView(error=message), status_code=error.status_code, headers=headers)


def _explain_unexpected(_request: AnyRequest, error: Exception) -> Response[ErrorView]:
    log.error("request failed", traceback=shown(error))
    message, advice = answers.UNTOLD
    return Response(ErrorView(error=message, advice=advice), status_code=500)
