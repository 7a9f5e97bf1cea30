"""Which handler takes which kind of job."""

from __future__ import annotations

from datetime import timedelta

from bramley.jobs import housekeeping, renewal
from bramley.jobs.housekeeping import Housekeeping
from bramley.jobs.push import Pusher
from bramley.jobs.renewal import Renewals
from bramley.jobs.runner import Periodic, Runner
from bramley.jobs.sending import Sender
from bramley.jobs.trial import Trials
from bramley.jobs.waves import Waves
from bramley.mdm.records import RETIRE_IDENTITIES
from bramley.mdm.token_update import PUSH
from bramley.operations.identities import RENEWAL_ANSWERED
from bramley.operations.live import Live
from bramley.operations.push.trial import TRIAL
from bramley.operations.wave_turns import PUSH_WAVE


def runner(live: Live, sender: Sender) -> Runner:
    """The runner with every kind of job that Bramley has."""
    renewals, upkeep = Renewals(live), Housekeeping(live)
    return Runner(
        live.installation.store,
        live.installation.clock,
        {
            PUSH: Pusher(live, sender),
            TRIAL: Trials(live, sender),
            PUSH_WAVE: Waves(live, sender),
            RENEWAL_ANSWERED: renewals.answered,
            renewal.RENEW_DUE: renewals.renew_due,
            renewal.RETIRE_SUPERSEDED: renewals.retire_superseded,
            RETIRE_IDENTITIES: renewals.retire_identities,
            housekeeping.OWN_CERTIFICATES: upkeep.own_certificates,
            housekeeping.SWEEP: upkeep.sweep,
        },
        [
            Periodic(renewal.RENEW_DUE, timedelta(hours=1)),
            Periodic(renewal.RETIRE_SUPERSEDED, timedelta(hours=1)),
            Periodic(housekeeping.OWN_CERTIFICATES, timedelta(hours=12)),
            Periodic(housekeeping.SWEEP, timedelta(days=1)),
        ],
    )
