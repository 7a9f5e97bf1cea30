"""What is secret in an answer: nowhere in clear at rest, and an unlock token in no answer at all."""

from __future__ import annotations

import plistlib
from dataclasses import replace

import pytest

from bramley.mdm.answer_secrets import opened
from bramley.mdm.commands import read_raw
from bramley.mdm.records import secret_place
from bramley.mdm.report import parse_report
from bramley.model.commands import CommandUUID
from bramley.pki.errors import SealError

from .kit import Identity, Server

TOKEN = b"UNLOCK-TOKEN-OF-THE-DEVICE"
CODE = "3YQ2-TC0C-1Z8E-GHXJ-L5ZF-0EWH"


async def answered(server: Server, identity: Identity, request_type: str, **keys: object) -> str:
    uuid = await server.queue(identity.enrollment_key, read_raw({"RequestType": request_type}))
    await server.connect(identity, "Acknowledged", uuid, **keys)
    return uuid


async def unlock_token(server: Server, identity: Identity) -> bytes | None:
    enrollment = await server.store.read(lambda tx: tx.enrollments.get(identity.enrollment_key))
    assert enrollment is not None
    if enrollment.unlock_token is None:
        return None
    return server.sealer.open(enrollment.unlock_token, secret_place(enrollment.key, "unlock-token"))


async def test_an_unlock_token_is_kept_with_the_device_and_not_with_the_answer(server: Server) -> None:
    identity = await server.enroll()
    uuid = await answered(server, identity, "RequestUnlockToken", UnlockToken=TOKEN)
    stored = (await server.command(identity.enrollment_key, uuid)).answer
    assert stored is not None
    assert plistlib.loads(stored).keys() == {"UDID", "Status", "CommandUUID"}
    assert await unlock_token(server, identity) == TOKEN


@pytest.mark.parametrize(("request_type", "value"), [("SecurityInfo", TOKEN), ("RequestUnlockToken", 5)])
async def test_one_that_nobody_asked_for_or_that_is_none_is_kept_nowhere(
    server: Server, request_type: str, value: object
) -> None:
    identity = await server.enroll()
    uuid = await answered(server, identity, request_type, UnlockToken=value)
    assert b"UnlockToken" not in ((await server.command(identity.enrollment_key, uuid)).answer or b"")
    assert await unlock_token(server, identity) is None


async def test_a_bypass_code_is_sealed_in_its_answer(server: Server) -> None:
    identity = await server.enroll()
    uuid = await answered(server, identity, "ActivationLockBypassCode", ActivationLockBypassCode=CODE)
    command = await server.command(identity.enrollment_key, uuid)
    assert command.answer is not None
    assert CODE.encode() not in command.answer
    shown = opened(command, server.sealer).answer
    assert shown is not None
    assert plistlib.loads(shown)["ActivationLockBypassCode"] == CODE
    with pytest.raises(SealError):
        opened(replace(command, uuid=CommandUUID("another")), server.sealer)


async def test_a_failure_to_tell_one_is_shown_as_it_came(server: Server) -> None:
    identity = await server.enroll()
    uuid = await server.queue(identity.enrollment_key, read_raw({"RequestType": "ActivationLockBypassCode"}))
    chain = [{"ErrorDomain": "MCMDMErrorDomain", "ErrorCode": 12021, "LocalizedDescription": "No."}]
    await server.connect(identity, "Error", uuid, ErrorChain=chain)
    command = await server.command(identity.enrollment_key, uuid)
    assert opened(command, server.sealer) == command


def test_a_report_shows_no_secret() -> None:
    keys = {"UDID": "u", "Status": "Acknowledged", "CommandUUID": "c", "UnlockToken": TOKEN, "ActivationLockBypassCode": CODE}
    report = parse_report(plistlib.dumps(keys))
    assert report.secrets == {"UnlockToken": TOKEN, "ActivationLockBypassCode": CODE.encode()}
    for shown in (repr(report), str(report), report.raw.decode()):
        assert TOKEN.decode() not in shown
        assert CODE not in shown
