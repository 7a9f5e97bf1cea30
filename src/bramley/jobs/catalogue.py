"""Which handler takes which kind of job."""

from __future__ import annotations

from datetime import timedelta

from bramley.jobs import housekeeping, plans, renewal
from bramley.jobs.escrow import Escrow
from bramley.jobs.housekeeping import Housekeeping
from bramley.jobs.network import NETWORK_RENEW_DUE, Networks
from bramley.jobs.profiles import Profiles
from bramley.jobs.push import Pusher
from bramley.jobs.quarantine import Quarantines
from bramley.jobs.reconcile import Reconciliations
from bramley.jobs.renewal import Renewals
from bramley.jobs.revocation import REVOCATION_UPKEEP, Revocations
from bramley.jobs.runner import Periodic, Runner
from bramley.jobs.sending import Sender
from bramley.jobs.trial import Trials
from bramley.jobs.waves import Waves
from bramley.mdm.connect import RENEWAL_ANSWERED
from bramley.mdm.records import RETIRE_IDENTITIES
from bramley.mdm.token_update import DELIVER_PROFILES, PUSH
from bramley.operations.ca_plan import ADVANCE
from bramley.operations.crl_due import PUBLISH_CRLS
from bramley.operations.escrow import ESCROW_ANSWERED, ESCROW_INSTALLED, ESCROW_OUTLIVED
from bramley.operations.live import Live
from bramley.operations.network.sending import NETWORK_ANSWERED
from bramley.operations.profiles.checking import CHECK_PROFILES, PROFILES_LISTED
from bramley.operations.profiles.delivery import PROFILE_ANSWERED
from bramley.operations.profiles.keeping import FAN_OUT
from bramley.operations.push.trial import TRIAL
from bramley.operations.quarantine import QUARANTINE_ANSWERED
from bramley.operations.reconcile import RECONCILE, RECONCILE_ANSWERED
from bramley.operations.wave_turns import PUSH_WAVE


def runner(live: Live, sender: Sender) -> Runner:
    """The runner with every kind of job that Bramley has."""
    renewals, revocations, upkeep = Renewals(live), Revocations(live), Housekeeping(live)
    reconciliations, profiles, escrow = Reconciliations(live), Profiles(live), Escrow(live)
    networks = Networks(live)
    return Runner(
        live.installation.store,
        live.installation.clock,
        {
            PUSH: Pusher(live, sender),
            TRIAL: Trials(live, sender),
            PUSH_WAVE: Waves(live, sender),
            RENEWAL_ANSWERED: reconciliations.after(renewals.answered),
            QUARANTINE_ANSWERED: Quarantines(live),
            renewal.RENEW_DUE: renewals.renew_due,
            renewal.RETIRE_SUPERSEDED: renewals.retire_superseded,
            RETIRE_IDENTITIES: networks.with_enrollments(renewals.retire_identities),
            RECONCILE: reconciliations.ask,
            RECONCILE_ANSWERED: networks.before(reconciliations.answered),
            NETWORK_RENEW_DUE: networks.renew_due,
            NETWORK_ANSWERED: networks.answered,
            PUBLISH_CRLS: revocations.publish,
            REVOCATION_UPKEEP: revocations.upkeep,
            ADVANCE: plans.Plans(live),
            DELIVER_PROFILES: escrow.with_deliveries(profiles.deliver),
            FAN_OUT: profiles.changed,
            PROFILE_ANSWERED: profiles.answered,
            PROFILES_LISTED: profiles.listed,
            CHECK_PROFILES: profiles.check_again,
            ESCROW_INSTALLED: escrow.installed,
            ESCROW_OUTLIVED: escrow.outlived,
            ESCROW_ANSWERED: escrow.answered,
            housekeeping.OWN_CERTIFICATES: upkeep.own_certificates,
            housekeeping.SWEEP: upkeep.sweep,
        },
        [
            Periodic(renewal.RENEW_DUE, timedelta(hours=1)),
            Periodic(renewal.RETIRE_SUPERSEDED, timedelta(hours=1)),
            Periodic(NETWORK_RENEW_DUE, timedelta(hours=1)),
            Periodic(REVOCATION_UPKEEP, timedelta(hours=2)),
            Periodic(ADVANCE, plans.EVERY),
            Periodic(housekeeping.OWN_CERTIFICATES, timedelta(hours=12)),
            Periodic(housekeeping.SWEEP, timedelta(days=1)),
        ],
    )
