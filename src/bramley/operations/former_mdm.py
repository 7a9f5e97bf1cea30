"""Devices that a former MDM enrolled are taken over as they are: their identities, their enrollments, their push tokens.

Every line is looked at before anything is written; then pages are written, each in a transaction. What is here already is
left alone, so whatever is cut short is begun again and goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final

from bramley.operations import former_records
from bramley.operations.former_checks import Candidate, Rules, Unfit, candidates
from bramley.operations.former_lines import FormerEnrollment, Problem
from bramley.operations.former_records import Desk, Written
from bramley.operations.installation import Installation
from bramley.operations.live import Live
from bramley.profiles import former
from bramley.profiles.enrollment import CHECK_IN_PATH, CONNECT_PATH
from bramley.profiles.former import FormerProfile
from bramley.storage.protocols import Tx

PAGE: Final = 200
"""Devices in one transaction."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of an import. With `problems` nothing was written, unless such lines were to be skipped."""

    written: Written
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()


async def import_enrollments(
    installation: Installation,
    lines: Iterable[FormerEnrollment | Problem],
    *,
    profile: bytes | None = None,
    skip_bad: bool = False,
    actor: str,
) -> Imported:
    """Takes over the devices of these lines. `profile` is the enrollment profile that they have (a .mobileconfig).

    Where one line cannot be used nothing is written, and the result says why, unless such lines are to be skipped. Raises
    BadProfile for a profile that no device could go on with, and Conflict where something else came in between: then run it
    again.
    """
    now, settings = installation.clock.now(), installation.settings
    snapshot = (await Live.start(installation)).current()
    paths = {CONNECT_PATH, CHECK_IN_PATH, *settings.former_paths}
    kept = None if profile is None else former.read(profile, host=installation.host, topics=snapshot.topics, paths=paths)
    skew = timedelta(minutes=settings.identity.clock_skew_minutes)
    topics = snapshot.topics if kept is None else {kept.topic}
    fit, bad = candidates(lines, Rules(snapshot.trust, topics, now, skew, settings.identity.after_end))
    taken = await installation.store.read(lambda tx: _taken(tx, fit))
    problems, warnings = (*bad, *taken.values()), tuple(_warnings(fit, kept))
    written = Written()
    if not problems or skip_bad:
        desk = Desk(installation, kept, now, actor)
        good = [each for each in fit if each.line.where not in taken]
        for at in range(0, len(good), PAGE):
            page = partial(former_records.write, desk=desk, devices=good[at : at + PAGE])
            written = written.plus(await installation.store.run(page))
    return Imported(written, problems, warnings)


def _taken(tx: Tx, fit: Sequence[Candidate]) -> dict[str, Problem]:
    """Those whose certificate is here as something else's, by where they came from."""
    found: dict[str, Problem] = {}
    for each in fit:
        try:
            former_records.find(tx, each)
        except Unfit as unfit:
            found[each.line.where] = unfit.problem
    return found


def _warnings(fit: Sequence[Candidate], kept: FormerProfile | None) -> Iterable[str]:
    if kept is None:
        yield (
            "Without --profile none of these devices can be renewed: the identities end when they end. Run this again with "
            "the enrollment profile that the devices have."
        )
    else:
        yield from kept.warnings
    ended = sum(each.ended for each in fit)
    if ended:
        yield f"Identities of {ended} devices have ended: they are good for fetching a renewal, and nothing else."
