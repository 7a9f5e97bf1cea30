"""The client of APNs: HTTP/2, with the push certificate as TLS client certificate.

Apple, "Sending notification requests to APNs" and "Establishing a certificate-based connection to APNs".
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
import pycurl
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bramley import __version__
from bramley.apple.push.engine import Engine
from bramley.apple.push.errors import BadPushCertificate, CannotConnect, ClientClosed
from bramley.apple.push.exchange import Answer, Request
from bramley.apple.push.notification import Push, PushClient, PushResult, PushTarget
from bramley.apple.push.proxy import read_proxy
from bramley.apple.push.topic import topic_of
from bramley.clock import Clock
from bramley.pki import certificates
from bramley.pki.errors import BadCertificate
from bramley.pki.keys import PrivateKey

__all__ = ["CurlPushClient", "Push", "PushClient", "PushResult", "PushTarget"]

LONGEST_EXPIRATION: Final = timedelta(days=30)
"""APNs keeps an undelivered push no longer."""


class CurlPushClient:
    """A `PushClient` on libcurl: one multiplexed connection, owned by one thread.

    `certificate_pem` is the push certificate, its chain after it where Apple sent one. `expiration` is how long APNs may keep
    a push for a device that is away. A new certificate means a new client: a connection belongs to the certificate that made it.

    Raises BadPushCertificate where certificate, key and topic do not belong together; CannotConnect where the machine has no
    trusted roots.
    """

    def __init__(
        self,
        *,
        certificate_pem: bytes,
        key: PrivateKey,
        topic: str,
        target: PushTarget,
        expiration: timedelta,
        clock: Clock,
        connect_timeout: timedelta = timedelta(seconds=10),
        answer_timeout: timedelta = timedelta(seconds=30),
    ) -> None:
        try:
            certificate = certificates.load_chain(certificate_pem)[0]
        except BadCertificate as error:
            raise BadPushCertificate(error.message, advice=error.advice) from None
        if (found := topic_of(certificate)) != topic:
            raise BadPushCertificate(
                f"Expected the push certificate of {topic}; this one is for {found}.",
                advice="Renew the certificate that the devices enrolled with; a new one cannot reach them.",
            )
        if not certificates.matches(certificate, key.public_key()):
            raise BadPushCertificate(
                f"The push certificate for {topic} belongs to another private key.",
                advice="Import the certificate together with the key of the request it answers.",
            )
        if not timedelta() < expiration <= LONGEST_EXPIRATION:
            raise ValueError(f"expiration must be over zero and at most 30 days, not {expiration}")
        self._not_before, self._not_after = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        self._topic = topic
        self._expiration = expiration
        self._clock = clock
        host = f"[{target.host}]" if ":" in target.host else target.host
        self._base = f"https://{host}:{target.port}/3/device/"
        key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        timeouts = (connect_timeout, answer_timeout)
        self._engine = Engine(_options(target, _trust(target), certificate_pem, key_pem, timeouts))

    async def push(self, pushes: Sequence[Push]) -> Sequence[PushResult]:
        """One result per push, in order.

        Raises BadPushCertificate, before any connection, outside the certificate's validity: APNs would only end the
        handshake. Raises ClientClosed after `close`.
        """
        now = self._clock.now()
        self._require_valid(now)
        if not pushes:
            return []
        headers = (
            f"apns-topic: {self._topic}",
            "apns-push-type: mdm",
            "apns-priority: 10",
            f"apns-expiration: {int((now + self._expiration).timestamp())}",
            "content-type: application/json",
            "accept:",
        )
        requests = [Request(self._base + push.token.hex(), headers, _body(push)) for push in pushes]
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[list[Answer]] = loop.create_future()

        def report(answers: list[Answer]) -> None:
            try:
                loop.call_soon_threadsafe(_settle, answered, answers)
            except RuntimeError:
                # the loop was closed meanwhile, so nobody waits for this answer any more
                return

        if not self._engine.submit(requests, report):
            raise ClientClosed("This push client has been closed.", advice="Make a new one for the certificate in force.")
        return [_result(answer) for answer in await answered]

    async def close(self) -> None:
        """Ends the connection and its thread. Harmless when repeated."""
        await asyncio.to_thread(self._engine.close)

    def _require_valid(self, now: datetime) -> None:
        if now > self._not_after:
            raise BadPushCertificate(
                f"The push certificate for {self._topic} expired on {self._not_after:%Y-%m-%d %H:%M} UTC.",
                advice="Renew it at identity.apple.com/pushcert with the Apple Account that made it.",
            )
        if now < self._not_before:
            raise BadPushCertificate(
                f"The push certificate for {self._topic} is valid from {self._not_before:%Y-%m-%d %H:%M} UTC; "
                f"this machine says it is {now:%Y-%m-%d %H:%M} UTC.",
                advice="Check this machine's clock.",
            )


def _options(
    target: PushTarget, trust: dict[int, Any], certificate_pem: bytes, key_pem: bytes, timeouts: tuple[timedelta, timedelta]
) -> Any:
    """A function that sets on a curl handle whatever every push shares."""
    connect, answer = (round(timeout.total_seconds() * 1000) for timeout in timeouts)
    proxy = read_proxy(target.proxy or "")
    options: dict[int, Any] = {
        pycurl.POST: 1,
        # TLS and nothing but HTTP/2: APNs speaks no other, and an intermediary that does is not APNs
        pycurl.PROTOCOLS: pycurl.PROTO_HTTPS,
        pycurl.HTTP_VERSION: pycurl.CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE,
        pycurl.SSLVERSION: pycurl.SSLVERSION_TLSv1_2,
        pycurl.SSL_VERIFYPEER: 1,
        pycurl.SSL_VERIFYHOST: 2,
        # so that a failure can name who issued what the server showed
        pycurl.OPT_CERTINFO: 1,
        # blobs: the key never lies in a file
        pycurl.SSLCERTTYPE: "PEM",
        pycurl.SSLCERT_BLOB: certificate_pem,
        pycurl.SSLKEYTYPE: "PEM",
        pycurl.SSLKEY_BLOB: key_pem,
        # wait for the connection being made rather than make another
        pycurl.PIPEWAIT: 1,
        # Apple asks to keep connections open; libcurl's own limit on idle ones is two minutes
        pycurl.MAXAGE_CONN: 3600,
        pycurl.TCP_KEEPALIVE: 1,
        pycurl.CONNECTTIMEOUT_MS: connect,
        pycurl.TIMEOUT_MS: answer,
        # an empty proxy keeps libcurl from taking one from the environment, empty exceptions from taking those: settings decide
        pycurl.PROXY: proxy.url,
        pycurl.NOPROXY: "",
        **({pycurl.PROXYUSERNAME: proxy.username, pycurl.PROXYPASSWORD: proxy.password} if proxy.username else {}),
        pycurl.NOSIGNAL: 1,
        pycurl.USERAGENT: f"bramley/{__version__}",
        **trust,
    }

    def configure(handle: Any) -> None:
        for option, value in options.items():
            handle.setopt(option, value)

    return configure


def _trust(target: PushTarget) -> dict[int, Any]:
    """Which roots the server must chain to: the target's own, else the machine's. Never Apple's certificates themselves."""
    if target.ca_pem is not None:
        return {pycurl.CAINFO_BLOB: target.ca_pem}
    paths = ssl.get_default_verify_paths()
    if paths.cafile:
        return {pycurl.CAINFO: paths.cafile}
    if paths.capath:
        return {pycurl.CAPATH: paths.capath}
    raise CannotConnect(
        "This machine has no set of trusted root certificates, so APNs cannot be told from an impostor.",
        advice="Install the package ca-certificates, or name a file of roots in SSL_CERT_FILE.",
    )


def _body(push: Push) -> bytes:
    """The payload of an MDM push: the magic string and nothing else; an `aps` key would make it another kind of push."""
    return msgspec.json.encode({"mdm": push.push_magic})


def _result(answer: Answer) -> PushResult:
    if answer.status == 0:
        return PushResult(0, error=answer.error, failed_at=answer.failed_at)
    if answer.status == 200:
        return PushResult(200, apns_id=answer.header(b"apns-id"))  # by far the most often, so nothing else is looked at
    said: Any = None
    if answer.body:
        try:
            said = json.loads(answer.body)
        except ValueError:
            said = None
    if not isinstance(said, dict):
        said = {}
    reason, since, later = said.get("reason"), said.get("timestamp"), answer.header(b"retry-after") or ""
    return PushResult(
        answer.status,
        reason=reason if isinstance(reason, str) else None,
        timestamp=_moment(since) if isinstance(since, int) and not isinstance(since, bool) else None,
        retry_after=float(later) if later.isascii() and later.isdigit() else None,
        apns_id=answer.header(b"apns-id"),
    )


def _moment(milliseconds: int) -> datetime | None:
    """APNs counts milliseconds since 1970; a number that is no date is left out rather than believed."""
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def _settle(answered: asyncio.Future[list[Answer]], answers: list[Answer]) -> None:
    if not answered.done():
        answered.set_result(answers)
