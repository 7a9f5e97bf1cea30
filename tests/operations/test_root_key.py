"""The root's key offline: everything goes on, nothing new comes under it, and only its own key brings it back."""

from __future__ import annotations

from datetime import timedelta

import pytest
from asn1crypto import pem
from asn1crypto.keys import EncryptedPrivateKeyInfo

from bramley.model.kinds import Kind
from bramley.operations import authorities, ca_rollover, issuers, records, revocation, root_key
from bramley.operations.ca_plan import Mode
from bramley.operations.errors import Conflict, Invalid, NotReady
from bramley.operations.installation import Installation
from bramley.operations.live import Live
from bramley.pki import certificates, keys
from bramley.pki.errors import PKIError
from bramley.pki.private_keys import read_key
from tests.conftest import NOW, SetClock

PASSWORD = "correct horse battery"


async def offline(installation: Installation) -> bytes:
    exported = await root_key.export(installation, PASSWORD)
    await root_key.forget(installation, exported, PASSWORD, actor="test")
    return exported


async def root_of(live: Live) -> authorities.Root:
    return await live.installation.store.read(lambda tx: authorities.load_root(tx, live.installation.sealer))


async def test_the_file_holds_the_key_and_the_database_no_longer(live: Live) -> None:
    version = await live.installation.store.read(lambda tx: records.active(tx, Kind.ROOT_CA, authorities.NAME))
    assert version is not None
    key_id = version.key_id
    assert key_id is not None
    exported = await offline(live.installation)
    assert exported.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    locked = EncryptedPrivateKeyInfo.load(pem.unarmor(exported)[2])
    assert locked["encryption_algorithm"].kdf_iterations >= 600_000, "a person's password must be costly to try"
    assert certificates.matches((await root_of(live)).certificate, read_key(exported, PASSWORD).public_key())
    assert await live.installation.store.read(lambda tx: tx.keys.get(key_id)) is None
    assert await live.refresh()
    assert live.current().authorities.root.key is None
    with pytest.raises(Conflict, match="offline already"):
        await root_key.export(live.installation, PASSWORD)


async def test_a_rollover_needs_the_key_and_may_borrow_it(live: Live) -> None:
    exported = await offline(live.installation)
    with pytest.raises(NotReady, match="taken offline"):
        await ca_rollover.begin(live.installation, Mode.NEW_KEY, actor="test")
    lent = await root_key.lent(live.installation, exported, PASSWORD)
    begun = await ca_rollover.begin(live.installation, Mode.NEW_KEY, root_key=lent, actor="test")
    assert begun.new.certificate is not None
    root = await root_of(live)
    certificates.load(begun.new.certificate).verify_directly_issued_by(root.certificate)
    assert root.key is None, "what was lent is not kept"


@pytest.mark.parametrize("what", ["another key", "another password", "half a file"])
async def test_a_file_that_does_not_give_the_key_back_deletes_nothing(live: Live, what: str) -> None:
    exported, password = await root_key.export(live.installation, PASSWORD), PASSWORD
    if what == "another key":
        exported = keys.to_pkcs8(keys.generate(keys.KeyAlgorithm.P_256))
    elif what == "another password":
        password = PASSWORD + "?"
    else:
        exported = exported[: len(exported) // 2]
    with pytest.raises((Invalid, PKIError)):
        await root_key.forget(live.installation, exported, password, actor="test")
    assert (await root_of(live)).key is not None


async def test_a_short_password_is_refused(live: Live) -> None:
    with pytest.raises(Invalid, match="at least 12"):
        await root_key.export(live.installation, "orchard")


async def test_brought_back_by_its_own_key_alone(live: Live) -> None:
    exported = await offline(live.installation)
    another = keys.to_pkcs8(keys.generate(keys.KeyAlgorithm.P_256))
    with pytest.raises(Invalid, match="holds another"):
        await root_key.bring_back(live.installation, another, None, actor="test")
    await root_key.bring_back(live.installation, exported, PASSWORD, actor="test")
    assert await live.refresh()
    assert live.current().authorities.root.key is not None
    with pytest.raises(Conflict, match="is here"):
        await root_key.bring_back(live.installation, exported, PASSWORD, actor="test")


async def test_its_crl_outlasts_the_key(live: Live, clock: SetClock) -> None:
    async def good_for() -> timedelta:
        (root,) = [each for each in await live.installation.store.read(issuers.read) if each.kind is Kind.ROOT_CA]
        return (await revocation.current(live.installation, root, actor="test")).next_update - clock.now()

    assert await good_for() <= timedelta(days=1)
    exported = await offline(live.installation)
    assert await good_for() == root_key.OFFLINE_CRL
    clock.moment = NOW + timedelta(days=399)
    assert timedelta(0) < await good_for() <= timedelta(days=1)
    clock.moment = NOW + timedelta(days=401)
    with pytest.raises(NotReady):
        await good_for()
    await root_key.bring_back(live.installation, exported, PASSWORD, actor="test")
    assert timedelta(0) < await good_for() <= timedelta(days=1)
