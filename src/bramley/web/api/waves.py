"""/push/waves: waking many devices, some in each second."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

import msgspec
from litestar import get, post
from litestar.params import JSONBody, PathParameter

from bramley.model.push import WaveState
from bramley.operations import waves
from bramley.operations.waves import WaveReport
from bramley.web.api.devices import LiveServer
from bramley.web.api.requests import AdminRequest, Limit, WaveBody, names_of

WaveName = Annotated[str, PathParameter(description="the id that starting it answered")]


class WaveView(msgspec.Struct, frozen=True, kw_only=True):
    """Where a wave stands.

    `outcomes` counts what became of those that were tried: `delivered`, or why not. `left` were not tried yet; `eta` is when
    they will have been, where that can be told. `problem` is what keeps it from going on, empty where nothing does.
    """

    id: str
    label: str
    state: WaveState
    problem: str
    per_second: float
    total: int
    left: int
    outcomes: dict[str, int]
    created_at: datetime
    created_by: str
    changed_at: datetime
    eta: datetime | None

    @classmethod
    def of(cls, report: WaveReport) -> Self:
        wave = report.wave
        return cls(
            id=wave.id,
            label=wave.label,
            state=wave.state,
            problem=wave.problem,
            per_second=wave.per_second,
            total=wave.total,
            left=report.left,
            outcomes=dict(report.outcomes),
            created_at=wave.created_at,
            created_by=wave.created_by,
            changed_at=wave.changed_at,
            eta=report.eta,
        )


@post("/push/waves", status_code=202)
async def start_wave(live: LiveServer, request: AdminRequest, data: JSONBody[WaveBody]) -> WaveView:
    """Starts waking devices, as many a second as `per_second` or the setting `push.wakes_per_second` says."""
    wave = await waves.start(
        live.installation,
        names_of(data),
        topic=data.topic,
        per_second=data.per_second,
        label=data.label,
        actor=request.auth,
    )
    return WaveView.of(await waves.show(live.installation, wave.id))


@get("/push/waves")
async def list_waves(live: LiveServer, limit: Limit = 100) -> list[WaveView]:
    """The latest waves, newest first."""
    return [WaveView.of(report) for report in await waves.listing(live.installation, limit=limit)]


@get("/push/waves/{wave:str}")
async def show_wave(live: LiveServer, wave: WaveName) -> WaveView:
    """One wave."""
    return WaveView.of(await waves.show(live.installation, wave))


@post("/push/waves/{wave:str}/stop", status_code=200)
async def stop_wave(live: LiveServer, request: AdminRequest, wave: WaveName) -> WaveView:
    """Stops a wave; those that were not tried stay so."""
    stopped = await waves.stop(live.installation, wave, actor=request.auth)
    return WaveView.of(await waves.show(live.installation, stopped.id))


@post("/push/waves/{wave:str}/resume", status_code=202)
async def resume_wave(live: LiveServer, request: AdminRequest, wave: WaveName) -> WaveView:
    """Lets a stopped wave go on where it was."""
    running = await waves.resume(live.installation, wave, actor=request.auth)
    return WaveView.of(await waves.show(live.installation, running.id))


HANDLERS = (start_wave, list_waves, show_wave, stop_wave, resume_wave)
