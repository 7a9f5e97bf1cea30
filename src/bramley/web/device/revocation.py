"""GET /pki/NAME.crl and /pki/ocsp over HTTP: what may be kept, by whom and for how long (RFC 5280, RFC 6960, RFC 5019)."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Final

from bramley.model.revocation import PublishedCRL
from bramley.operations import issuers, revocation
from bramley.operations.crl_due import note_name
from bramley.operations.errors import NotReady
from bramley.operations.installation import Installation
from bramley.operations.issuers import Issuer
from bramley.operations.ocsp import OCSP, Reply
from bramley.pki.cms.errors import Malformed
from bramley.pki.revocation.ocsp_requests import REQUEST_TYPE, decode_path
from bramley.pki.revocation.ocsp_responses import RESPONSE_TYPE, Failure, failure
from bramley.web.asgi import Request, Response, text

CRL_TYPE: Final = "application/pkix-crl"  # RFC 5280 section 4.2.1.13

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class _Kept:
    """A CRL at hand, with the names that HTTP has for it."""

    issuer: Issuer
    crl: PublishedCRL
    etag: bytes

    @property
    def last_modified(self) -> bytes:
        return _http_date(self.crl.this_update)


class CRLs:
    """The CRLs of our CAs. One lies in memory for as long as it is right: each request reads no more than one small mark.

    Whoever comes after a revocation gets the CRL that has it, made then and there if no other process was faster; requests
    that come meanwhile wait for the same one.
    """

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._kept: dict[str, _Kept] = {}
        self._publishing = asyncio.Lock()

    async def get(self, request: Request, name: str) -> Response:
        kept = await self._right(name)
        if kept is None:
            async with self._publishing:
                kept = await self._right(name) or await self._take(name)
        if kept is None:
            return text(404, "There is no such CRL.")
        headers = (
            (b"cache-control", _public(kept.crl.next_update, self._installation.clock.now())),
            (b"last-modified", kept.last_modified),
            (b"etag", kept.etag),
        )
        if _unchanged(request, kept):
            return Response(304, headers=headers)
        return Response(200, kept.crl.der, CRL_TYPE, headers)

    async def _right(self, name: str) -> _Kept | None:
        """The one at hand, if nothing has changed since and it is not due."""
        kept = self._kept.get(name)
        if kept is None:
            return None
        mark = await self._installation.store.read(lambda tx: tx.notes.get(note_name(kept.issuer.id)))
        life = timedelta(hours=self._installation.settings.revocation.crl_hours)
        return None if revocation.due(kept.crl, mark, self._installation.clock.now(), life) else kept

    async def _take(self, name: str) -> _Kept | None:
        now = self._installation.clock.now()
        found = await self._installation.store.read(issuers.read)
        issuer = next((each for each in found if each.name == name and now < each.not_after), None)
        try:
            crl = await revocation.current(self._installation, issuer, actor="server") if issuer else None
        except NotReady:  # its key is offline, and what it left behind has ended
            crl = None
        if issuer is None or crl is None:
            self._kept.pop(name, None)
            return None
        kept = _Kept(issuer, crl, b'"%s"' % hashlib.sha256(crl.der).hexdigest()[:32].encode())
        self._kept[name] = kept
        return kept


@dataclass(frozen=True, slots=True)
class OCSPOverHTTP:
    """OCSP by POST, and by GET with the request in the path (RFC 6960 appendix A).

    Nobody is limited: an answer costs less than the handshake before it. Errors of OCSP are answered 200 with an
    OCSPResponse that says so; an answer that others may be given too says for how long (RFC 5019 section 6.2).
    """

    installation: Installation
    ocsp: OCSP

    async def post(self, request: Request) -> Response:
        if request.header(b"content-type").partition(b";")[0].strip().lower() != REQUEST_TYPE.encode():
            return text(415, f"Expected {REQUEST_TYPE}.")
        return self._response(
            await self.ocsp.answer(await request.body(self.installation.settings.limits.ocsp_bytes)), keep=False
        )

    async def get(self, _request: Request, path: str) -> Response:
        try:
            message = decode_path(path)
        except Malformed:
            return self._response(Reply(failure(Failure.malformedRequest)), keep=False)
        return self._response(await self.ocsp.answer(message), keep=True)

    def _response(self, reply: Reply, *, keep: bool) -> Response:
        headers: Headers = ((b"cache-control", b"no-store"),)
        if keep and reply.this_update is not None and reply.next_update is not None:
            now = self.installation.clock.now()
            headers = (
                (b"cache-control", _public(reply.next_update, now) + b", no-transform, must-revalidate"),
                (b"last-modified", _http_date(reply.this_update)),
                (b"expires", _http_date(reply.next_update)),
                (b"etag", b'"%s"' % hashlib.sha256(reply.message).hexdigest()[:32].encode()),
            )
        return Response(200, reply.message, RESPONSE_TYPE, headers)


def _public(until: datetime, now: datetime) -> bytes:
    return b"public, max-age=%d" % max(0, int((until - now).total_seconds()))


def _http_date(moment: datetime) -> bytes:
    return format_datetime(moment.astimezone(UTC), usegmt=True).encode()


def _unchanged(request: Request, kept: _Kept) -> bool:
    """RFC 9110 section 13.2.2: If-None-Match decides where it is there.

    A date must be the very one that came with the CRL. A CRL is dated back, so a client's own date could be later than that
    of a newer one.
    """
    tags = request.headers(b"if-none-match")
    if tags:
        asked = {tag.strip().removeprefix(b"W/") for line in tags for tag in line.split(b",")}
        return bool(asked & {kept.etag, b"*"})
    return request.header(b"if-modified-since") == kept.last_modified
