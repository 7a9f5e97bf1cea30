"""GET /healthz, /readyz, /version and /metrics."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from prometheus_client import Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

import bramley
from bramley.errors import BramleyError
from bramley.model.enrollments import IdentityRoute
from bramley.model.kinds import OF_DEVICES, Kind
from bramley.model.lineages import VersionState
from bramley.operations import pushing, signers
from bramley.operations.live import Live
from bramley.storage.protocols import Tx
from bramley.web.asgi import Request, Response, text
from bramley.web.metrics import Metrics

SCRAPE_INTERVAL: Final = timedelta(seconds=5)
"""How long what the database was asked for stays good: scrapes are open to anybody, and must not become work for it."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the database says, at one moment."""

    ends: tuple[tuple[Kind, str, datetime], ...]
    identities: dict[VersionState, int]
    enrollments: dict[str, int]
    commands_pending: int


class Observe:
    """Health for supervisors, readiness for load balancers, metrics for whoever asks."""

    def __init__(self, live: Live, metrics: Metrics) -> None:
        self._live = live
        self._metrics = metrics
        self._asked_at: datetime | None = None
        registry = metrics.registry
        self._ends = Gauge(
            "bramley_certificate_not_after_timestamp_seconds",
            "When the active certificate of a lineage ends; certificates of devices are left out.",
            ("kind", "name"),
            registry=registry,
        )
        self._identities = Gauge("bramley_device_identities", "Device identities by state.", ("state",), registry=registry)
        self._enrollments = Gauge("bramley_enrollments", "Devices and user channels by state.", ("state",), registry=registry)
        self._pending = Gauge("bramley_commands_pending", "Commands that no device has answered yet.", registry=registry)

    async def health(self, _request: Request) -> Response:
        """200 for as long as the event loop turns."""
        return text(200, "ok")

    async def version(self, _request: Request) -> Response:
        return _json(200, {"version": bramley.__version__})

    async def ready(self, _request: Request) -> Response:
        """200 where devices can be served, else 503; what is not ready, and what deserves a look, by name."""
        not_ready: list[str] = []
        snapshot, now = self._live.current(), self._live.installation.clock.now()
        try:
            paused = await self._live.installation.store.read(partial(_any_paused, topics=snapshot.topics))
        except BramleyError:
            paused = False
            not_ready.append("database")
        in_force = {
            "https-certificate": snapshot.https.certificate,
            "identity-ca": snapshot.authorities.identity.authority.certificate,
        }
        for name, certificate in in_force.items():
            if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
                not_ready.append(name)
        look = {
            "push-certificate": not snapshot.topics,
            "push-certificate-expired": any(each.certificate.not_valid_after_utc < now for each in snapshot.pushes.values()),
            "push-certificate-unusable": bool(snapshot.unusable),
            "push-topic-paused": paused,
            "profile-signer": signers.ends((snapshot.signer.certificate, *snapshot.signer.chain)) < now + signers.LOOK_AHEAD,
            "identity-pkcs12": self._live.installation.settings.identity.source == IdentityRoute.PKCS12,
            "scep-static-challenge": bool(self._live.installation.settings.scep.static_challenge),
        }
        warnings = [name for name, wanting in look.items() if wanting]
        return _json(503 if not_ready else 200, {"ready": not not_ready, "not_ready": not_ready, "warnings": warnings})

    async def metrics(self, _request: Request) -> Response:
        """Prometheus text format."""
        now = self._live.installation.clock.now()
        if self._asked_at is None or not self._asked_at <= now < self._asked_at + SCRAPE_INTERVAL:
            self._show(await self._live.installation.store.read(read_facts))
            self._asked_at = now
        return Response(200, generate_latest(self._metrics.registry), CONTENT_TYPE_LATEST)

    def _show(self, facts: Facts) -> None:
        self._ends.clear()  # a lineage may have lost its active version
        for kind, name, end in facts.ends:
            self._ends.labels(kind, name).set(end.timestamp())
        for state, count in facts.identities.items():
            self._identities.labels(state).set(count)
        for standing, count in facts.enrollments.items():
            self._enrollments.labels(standing).set(count)
        self._pending.set(facts.commands_pending)


def read_facts(tx: Tx) -> Facts:
    """Everything that is measured in the database, in one snapshot of it."""
    rows = [
        row
        for kind in Kind
        if kind not in OF_DEVICES
        for row in tx.lineages.certificates(kind=kind, states=(VersionState.ACTIVE,))
    ]
    return Facts(
        tuple((row.lineage.kind, row.lineage.name, row.version.not_after) for row in rows if row.version.not_after is not None),
        tx.lineages.count(Kind.DEVICE_IDENTITY),
        {state.value: count for state, count in tx.enrollments.count().items()},
        tx.commands.count_pending(),
    )


def _any_paused(tx: Tx, topics: Iterable[str]) -> bool:
    """Whether APNs refuses the certificate of one of these topics. It asks the database whether there are topics or not."""
    tx.admins.count()
    return any(tx.notes.get(pushing.paused_note(topic)) is not None for topic in topics)


def _json(status: int, value: object) -> Response:
    return Response(status, json.dumps(value).encode() + b"\n", "application/json")
