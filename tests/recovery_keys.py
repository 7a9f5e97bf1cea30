"""A Mac that has told its recovery key, on record."""

from __future__ import annotations

from bramley.model.enrollments import EnrollmentID
from bramley.model.kinds import Kind
from bramley.model.lineages import Policy, VersionState
from bramley.model.recovery_keys import RecoveryKey
from bramley.operations import records, vault
from bramley.operations.installation import Installation
from bramley.pki import cms, keys, names
from bramley.pki.ca import profiles
from bramley.pki.ca.authority import self_signed
from bramley.storage.protocols import Tx


async def tell(here: Installation, udid: str, recovery_key: str) -> None:
    now, key = here.clock.now(), keys.generate(keys.KeyAlgorithm.RSA_2048)
    certificate = self_signed(profiles.FILEVAULT_ESCROW, key, names.make("escrow"), now=now)

    def put(tx: Tx) -> None:
        lineage = records.lineage(tx, Kind.FILEVAULT_ESCROW, udid, Policy(), now=now)
        key_id = vault.keep(tx, here.sealer, key, Kind.FILEVAULT_ESCROW, now=now, actor="test")
        version = records.record(tx, lineage, certificate, state=VersionState.ACTIVE, now=now, actor="test", key_id=key_id)
        message = cms.encrypt(recovery_key.encode(), recipients=[certificate])
        tx.recovery_keys.add(RecoveryKey("1", EnrollmentID(udid), version.id, message, now))

    await here.store.run(put)
