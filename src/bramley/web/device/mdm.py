"""PUT /mdm/checkin and /mdm/connect: one handler for both, since a device without CheckInURL sends everything to ServerURL."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import structlog

from bramley.errors import BramleyError
from bramley.mdm import checkin, connect
from bramley.mdm.answer import PLIST_TYPE, Answer
from bramley.mdm.binding import AuthenticatedDevice, authenticate
from bramley.mdm.errors import BadMessage, MDMError, NotOffered, Refusal, Refused
from bramley.mdm.identity import VerifiedSigner, verify_signature, verify_tls
from bramley.mdm.messages import CheckinMessage, parse_checkin
from bramley.mdm.report import Report, parse_report
from bramley.model.commands import PendingCommand
from bramley.model.enrollments import Presented
from bramley.model.events import EventKind
from bramley.operations import identities, outside_identities
from bramley.operations.live import Live
from bramley.operations.refusals import PER_WINDOW
from bramley.storage.protocols import Tx
from bramley.web.asgi import Request, Response
from bramley.web.errors import TooLarge
from bramley.web.metrics import Metrics
from bramley.web.protocol import TLS_EXTENSION
from bramley.web.proxy import passed_certificate

CHECKIN_TYPE: Final = b"application/x-apple-aspen-mdm-checkin"
"""What a Content-Type begins with for a check-in message; anything else is taken for a report."""

OFF_LOOP_BYTES: Final = 256 * 1024
"""Bodies from this size on are checked and parsed on a thread, so that one large report does not hold up the others."""

log = structlog.get_logger("bramley.web.mdm")


@dataclass(frozen=True, slots=True)
class Proof:
    """What a request brought to show who sent it, not yet looked at."""

    signature: bytes | None
    certificate: bytes | None


@dataclass(frozen=True, slots=True)
class MDM:
    """Identity, binding, then the message; each step fails closed, and what is refused is written down."""

    live: Live
    metrics: Metrics
    skew: timedelta

    async def __call__(self, request: Request) -> Response:
        presented: Presented | None = None
        try:
            signer, message = await self._read(request)
            store = self.live.installation.store
            presented = await store.presented(signer.sha256, message.sender.user)
            now = self.live.installation.clock.now()
            if presented is None and request.query:
                check = partial(self._authenticate, signer, message=message, now=now)
                presented = await outside_identities.introduce(self.live, signer, message, request.query, now, check)
            device = self._authenticate(signer, presented, message, now)
            self._note_sight(device, now)
            if device.has_ended:
                await self._note_ended(device)
            if isinstance(message, Report):
                return await self._connect(device, message, now)
            return _answer(await store.run(partial(self._check_in, device=device, message=message, now=now)))
        except (MDMError, TooLarge) as error:
            await self._note_refusal(error, presented)
            raise

    async def _read(self, request: Request) -> tuple[VerifiedSigner, CheckinMessage | Report]:
        limits = self.live.installation.settings.limits
        is_checkin = request.header(b"content-type").startswith(CHECKIN_TYPE)
        limit = limits.checkin_bytes if is_checkin else limits.connect_bytes
        # Before the body: a stranger without any proof is not given 16 MB of memory.
        proof = read_proof(request)
        body = await request.body(limit)
        understand = partial(self._understand, proof, body, is_checkin, limit)
        return await asyncio.to_thread(understand) if len(body) >= OFF_LOOP_BYTES else understand()

    def _understand(
        self, proof: Proof, body: bytes, is_checkin: bool, limit: int
    ) -> tuple[VerifiedSigner, CheckinMessage | Report]:
        signer = self._identify(proof, body)
        parse = parse_checkin if is_checkin else parse_report
        return signer, parse(body, max_bytes=limit, max_depth=self.live.installation.settings.limits.plist_depth)

    def _identify(self, proof: Proof, body: bytes) -> VerifiedSigner:
        trust, now, skew = self.live.current().trust, self.live.installation.clock.now(), self.skew
        # which of those that have ended may come in, and for what, is decided where the record is known
        ended_too = self.live.installation.settings.identity.after_end is not None
        if proof.certificate is None:
            return verify_signature(proof.signature or b"", body, trust, now=now, skew=skew, ended_too=ended_too)
        signer = verify_tls(proof.certificate, trust, now=now, skew=skew, ended_too=ended_too)
        if proof.signature is not None:
            signed = verify_signature(proof.signature, body, trust, now=now, skew=skew, ended_too=ended_too)
            if signed.sha256 != signer.sha256:
                raise Refused(
                    Refusal.BAD_SIGNATURE,
                    f"The TLS connection is {signer.sha256}'s, and the Mdm-Signature {signed.sha256}'s: one sender has one.",
                )
        return signer

    def _check_in(self, tx: Tx, *, device: AuthenticatedDevice, message: CheckinMessage, now: datetime) -> Answer:
        device = self._again(tx, device, message, now)
        installation = self.live.installation
        topics = self.live.current().topics
        answer = checkin.handle(tx, device, message, now=now, sealer=installation.sealer, topics=topics)
        if device.is_first_use:
            identities.first_use(tx, device, now=now)
        return answer

    async def _connect(self, device: AuthenticatedDevice, report: Report, now: datetime) -> Response:
        installation = self.live.installation
        immediate = None if device.is_first_use else connect.answer_idle(device, report)
        if immediate is not None:
            command = immediate.command
        else:
            command = await installation.store.run(partial(self._report, device=device, report=report, now=now))
        if command is None:
            return Response(200)
        body = connect.deliver(command, installation.sealer)
        installation.store.sent(command.uuid, now)
        return Response(200, body, PLIST_TYPE)

    def _report(self, tx: Tx, *, device: AuthenticatedDevice, report: Report, now: datetime) -> PendingCommand | None:
        device = self._again(tx, device, report, now)
        command = connect.handle(tx, device, report, now=now, sealer=self.live.installation.sealer)
        if device.is_first_use:
            identities.first_use(tx, device, now=now)
        return command

    def _again(self, tx: Tx, device: AuthenticatedDevice, message: CheckinMessage | Report, now: datetime) -> AuthenticatedDevice:
        """The device as it stands in this transaction: it may have been revoked, ended or seen in use since it was read."""
        presented = tx.presented(device.signer.sha256, message.sender.user)
        return self._authenticate(device.signer, presented, message, now)

    def _authenticate(
        self, signer: VerifiedSigner, presented: Presented | None, message: CheckinMessage | Report, now: datetime
    ) -> AuthenticatedDevice:
        after_end = self.live.installation.settings.identity.after_end
        return authenticate(signer, presented, message, now=now, skew=self.skew, after_end=after_end)

    def _note_sight(self, device: AuthenticatedDevice, now: datetime) -> None:
        presented, store = device.presented, self.live.installation.store
        store.saw(presented.enrollment_key, now)
        if presented.channel_key is not None and presented.channel_key != presented.enrollment_key:
            store.saw(presented.channel_key, now)

    async def _note_ended(self, device: AuthenticatedDevice) -> None:
        """An identity that has ended was let in; of one device it is written once in a while."""
        await self._note(
            EventKind.DEVICE_EXPIRED_ACCEPTED,
            "expired",
            f"The identity certificate {device.signer.sha256} ended at {device.signer.not_after:%F %T} UTC.",
            device.presented,
            most=1,
        )

    async def _note_refusal(self, error: MDMError | TooLarge, presented: Presented | None) -> None:
        reason = _reason(error)
        self.metrics.refused(reason)
        if isinstance(error, NotOffered):
            return  # devices ask for these as a matter of course
        await self._note(EventKind.DEVICE_REFUSED, reason, error.message, presented)

    async def _note(
        self, kind: EventKind, reason: str, message: str, presented: Presented | None, *, most: int = PER_WINDOW
    ) -> None:
        try:
            await self.live.refusals.record(
                kind,
                reason,
                message=message,
                actor=f"device:{(presented and presented.enrollment_id) or ''}",
                enrollment=presented.enrollment_key if presented else None,
                most=most,
            )
        except BramleyError as trouble:
            # The answer stands either way; what could not be written to the database is at least in the log.
            log.error("not recorded", kind=kind, reason=reason, error=str(trouble))


def read_proof(request: Request) -> Proof:
    """The Mdm-Signature header and the TLS client certificate, whichever came: the latter to us, or to a proxy that we believe.

    Refused where neither did, or two headers.
    """
    signatures = request.headers(b"mdm-signature")
    tls = request.scope.get("extensions", {}).get(TLS_EXTENSION, {})
    certificate: bytes | None = tls.get("client_cert_der") or passed_certificate(request.scope)
    if len(signatures) > 1:
        raise Refused(Refusal.SEVERAL_SIGNERS, f"Expected one Mdm-Signature header; {len(signatures)} came.")
    if not signatures and certificate is None:
        raise Refused(
            Refusal.NO_SIGNATURE,
            "Expected an Mdm-Signature header or a TLS client certificate; neither came.",
            advice="The MDM payload must set SignMessage, and a proxy in front must pass the header on.",
        )
    return Proof(signatures[0] if signatures else None, certificate)


def _answer(answer: Answer) -> Response:
    return Response(200, answer.body or b"", answer.content_type)


def _reason(error: MDMError | TooLarge) -> str:
    """One of few words, for a label and an event."""
    if isinstance(error, Refused):
        return error.reason
    if isinstance(error, BadMessage):
        return "bad-message"
    if isinstance(error, TooLarge):
        return "too-large"
    return "not-offered" if isinstance(error, NotOffered) else "quarantined"
