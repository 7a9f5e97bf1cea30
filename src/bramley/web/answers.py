"""The one table: which HTTP answer an error becomes.

What an answer makes a device do is Apple's to say, and some of it cannot be undone: 401 removes the MDM profile, and so does
403 with `com.apple.unrecognized.device`. Neither is in the table of devices.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

from bramley.errors import BadInput, BramleyError, OutsideTrouble
from bramley.mdm import errors as mdm
from bramley.operations import errors as operations
from bramley.pki import errors as pki
from bramley.pki.scep import errors as scep
from bramley.profiles import errors as profiles
from bramley.storage import errors as storage
from bramley.web.asgi import Response, text
from bramley.web.errors import TooLarge, TooMany

RETRY_SECONDS: Final = 30
"""When to come back after trouble of ours. A device keeps its report until then."""

DEVICE_STATUSES: Final[Mapping[type[BramleyError], HTTPStatus]] = MappingProxyType(
    {
        TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        # For SCEP and links: no check-in and no report is ever limited.
        TooMany: HTTPStatus.TOO_MANY_REQUESTS,
        # A failure that the device retries later, and that changes nothing on it.
        mdm.BadMessage: HTTPStatus.BAD_REQUEST,
        mdm.Refused: HTTPStatus.BAD_REQUEST,
        mdm.Quarantined: HTTPStatus.BAD_REQUEST,
        mdm.NotOffered: HTTPStatus.BAD_REQUEST,
        scep.SCEPError: HTTPStatus.BAD_REQUEST,
        scep.ResponderExpired: HTTPStatus.SERVICE_UNAVAILABLE,
        operations.NotFound: HTTPStatus.NOT_FOUND,
        operations.LinkUnusable: HTTPStatus.GONE,
        operations.NotReady: HTTPStatus.SERVICE_UNAVAILABLE,
        profiles.CannotSign: HTTPStatus.SERVICE_UNAVAILABLE,
        # The device keeps what it had to say, and says it again.
        storage.StorageError: HTTPStatus.SERVICE_UNAVAILABLE,
        OutsideTrouble: HTTPStatus.SERVICE_UNAVAILABLE,
    }
)
"""For everything under device paths: the nearest class counts, and what has none is 500."""

NOT_OFFERED_STATUSES: Final[Mapping[str, HTTPStatus]] = MappingProxyType(
    {
        "UserAuthenticate": HTTPStatus.GONE,  # the device stops trying to manage this user
        "DeclarativeManagement": HTTPStatus.NOT_FOUND,
    }
)

OPERATOR_STATUSES: Final[Mapping[type[BramleyError], HTTPStatus]] = MappingProxyType(
    {
        TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        TooMany: HTTPStatus.TOO_MANY_REQUESTS,
        mdm.BadMessage: HTTPStatus.BAD_REQUEST,
        mdm.BadValue: HTTPStatus.BAD_REQUEST,
        # By far the most often it is what was sent that such an error is about.
        pki.BadKey: HTTPStatus.BAD_REQUEST,
        pki.BadCertificate: HTTPStatus.BAD_REQUEST,
        pki.BadRequest: HTTPStatus.BAD_REQUEST,
        pki.ChainError: HTTPStatus.BAD_REQUEST,
        pki.CannotIssue: HTTPStatus.CONFLICT,
        pki.SealError: HTTPStatus.SERVICE_UNAVAILABLE,
        BadInput: HTTPStatus.BAD_REQUEST,
        operations.NotFound: HTTPStatus.NOT_FOUND,
        operations.Conflict: HTTPStatus.CONFLICT,
        operations.NotReady: HTTPStatus.SERVICE_UNAVAILABLE,
        profiles.CannotSign: HTTPStatus.SERVICE_UNAVAILABLE,
        storage.StorageError: HTTPStatus.SERVICE_UNAVAILABLE,
        OutsideTrouble: HTTPStatus.SERVICE_UNAVAILABLE,
    }
)
"""For the API; what has no class here is 500 and keeps its message to the log."""

UNTOLD: Final = ("Something went wrong here.", "The server's log says what.")
"""Words and advice for whatever nobody foresaw."""


def device_status(error: BaseException) -> HTTPStatus:
    """What a device path answers to an error: never 401, never 403."""
    if isinstance(error, mdm.NotOffered):
        return NOT_OFFERED_STATUSES.get(error.kind, HTTPStatus.BAD_REQUEST)
    return _nearest(DEVICE_STATUSES, error)


def operator_status(error: BaseException) -> HTTPStatus:
    """What the API answers to an error."""
    return _nearest(OPERATOR_STATUSES, error)


def operator_words(error: BaseException, status: HTTPStatus) -> tuple[str, str]:
    """What an operator is told of an error, and what to do next."""
    if isinstance(error, BramleyError) and status is not HTTPStatus.INTERNAL_SERVER_ERROR:
        return error.message, error.advice
    return UNTOLD


def for_device(error: BaseException) -> Response:
    """The answer to a device: a status and nothing else, since nothing it could read would help it."""
    status = device_status(error)
    return Response(status, headers=retry_after(error, status))


def for_person(error: BaseException) -> Response:
    """The answer to whoever opened a link in a browser: the status of `device_status`, with the reason in words."""
    status = device_status(error)
    words = str(error) if isinstance(error, BramleyError) and status in _TELLABLE else f"{status.phrase}."
    response = text(status, words)
    return Response(status, response.body, response.content_type, retry_after(error, status))


def retry_after(error: BaseException, status: HTTPStatus) -> tuple[tuple[bytes, bytes], ...]:
    """RFC 9110 10.2.3."""
    if isinstance(error, TooMany):
        return ((b"retry-after", b"%d" % error.retry_after),)
    return ((b"retry-after", b"%d" % RETRY_SECONDS),) if status is HTTPStatus.SERVICE_UNAVAILABLE else ()


_TELLABLE: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE, HTTPStatus.TOO_MANY_REQUESTS})


def _nearest(table: Mapping[type[BramleyError], HTTPStatus], error: BaseException) -> HTTPStatus:
    for kind in type(error).__mro__:
        status = table.get(kind)
        if status is not None:
            return status
    return HTTPStatus.INTERNAL_SERVER_ERROR
