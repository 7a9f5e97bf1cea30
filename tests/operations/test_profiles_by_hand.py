"""Profiles that an operator sends by hand: checked, filled in and signed as kept ones are, or octet for octet on request."""

from __future__ import annotations

import plistlib
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bramley.errors import BadInput, BramleyError
from bramley.mdm.commands import InstallProfile, Raw, Request, SecurityInfo
from bramley.mdm.connect import payload_place
from bramley.model.enrollments import Enrollment, EnrollmentID, EnrollmentKey, EnrollmentState
from bramley.operations import device_commands, signers
from bramley.operations.device_commands import Sent
from bramley.operations.errors import Invalid
from bramley.operations.installation import Installation
from bramley.operations.live import Live
from bramley.operations.signers import Signer
from bramley.pki import certificates, cms, keys, names
from bramley.pki.ca.authority import issue
from bramley.pki.ca.profiles import DEVICE_IDENTITY
from bramley.profiles.encrypt import encrypt
from bramley.profiles.errors import BadProfile, CannotSign, MissingVariable
from bramley.profiles.sign import sign
from tests.conftest import NOW, SetClock

from .signer_kit import PKI
from .test_profiles import OTHER_UUID, PROFILE, with_payload, written

NAMED = "Orchard {{ device.serial }}"


@pytest.fixture
async def device(installation: Installation) -> Enrollment:
    row = Enrollment(
        EnrollmentKey("k"), EnrollmentState.ACTIVE, NOW, NOW, id=EnrollmentID("udid"), udid="udid", serial_number="C02<&>"
    )  # fmt: skip
    await installation.store.run(lambda tx: tx.enrollments.add(row))
    return row


async def _send(here: Installation, data: bytes, *, as_is: bool = False, device: str = "udid") -> Sent:
    return await device_commands.send(here, device, InstallProfile(data), as_is=as_is, actor="test")


def _payload(here: Installation, sent: Sent) -> bytes:
    message = here.sealer.open(sent.command.payload, payload_place(sent.command.uuid))
    payload: bytes = plistlib.loads(message)["Command"]["Payload"]
    return payload


async def _refused(here: Installation, data: bytes, error: type[BramleyError]) -> Any:
    with pytest.raises(error) as caught:
        await _send(here, data)
    assert await here.store.read(lambda tx: (tx.commands.count_pending(), tx.jobs.of_kind("push"))) == (0, [])
    return caught.value


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("signer", [Signer.OWN, Signer.HTTPS])
async def test_a_plain_one_is_filled_in_and_signed_by_the_chosen_signer(live: Live, signer: Signer) -> None:
    here = live.installation
    await signers.choose(here, signer, actor="test")
    await live.refresh()
    sent = _payload(here, await _send(here, with_payload(SSID_STR=NAMED)))
    verified = cms.verify(cms.parse_signed_data(sent), policy=cms.DEVICE)
    assert verified.certificate == certificates.der(live.current().signer.certificate)
    assert plistlib.loads(verified.content)["PayloadContent"][0]["SSID_STR"] == "Orchard C02<&>"


@pytest.mark.usefixtures("device")
async def test_so_is_one_in_a_raw_command_which_keeps_its_other_keys(installation: Installation) -> None:
    request: Request = Raw("InstallProfile", {"RequestType": "InstallProfile", "Payload": written(), "New": 1})
    sent = await device_commands.send(installation, "udid", request, actor="test")
    command = plistlib.loads(installation.sealer.open(sent.command.payload, payload_place(sent.command.uuid)))["Command"]
    assert command["New"] == 1
    assert plistlib.loads(cms.parse_signed_data(command["Payload"]).content or b"") == PROFILE


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("case", ["signed", "encrypted", "both"])
async def test_what_is_signed_or_encrypted_goes_out_untouched(live: Live, device_keys: list[keys.PrivateKey], case: str) -> None:
    data = with_payload(SSID_STR="{{ of the signer's own }}")
    identity = PKI.at(NOW).signer()
    if case != "signed":
        ca, public = live.current().authorities.identity.authority, device_keys[0].public_key()
        data = encrypt(plistlib.loads(data), issue(ca, DEVICE_IDENTITY, public, subject=names.make("d"), now=NOW))
    if case != "encrypted":
        data = sign(data, certificate=identity.certificate, key=identity.key, now=NOW)
    assert _payload(live.installation, await _send(live.installation, data)) == data


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("data", [b"secret", with_payload(SSID_STR=NAMED, EncryptionType="Any {{"), written(PayloadUUID=1)])
async def test_as_it_is_it_goes_out_octet_for_octet(installation: Installation, data: bytes) -> None:
    assert _payload(installation, await _send(installation, data, as_is=True)) == data


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize(
    ("data", "key", "rule"),
    [
        (b"no profile", "", "is-a-profile"),
        (with_payload(PayloadCertificateUUID=OTHER_UUID), "PayloadContent[0].PayloadCertificateUUID", "reference-exists"),
        (with_payload(SSID_STR="{{ device.colour }}"), "PayloadContent[0].SSID_STR", "known-variable"),
        (with_payload(EncryptionType="WPA9"), "PayloadContent[0].EncryptionType", "allowed-value"),
    ],
)
async def test_what_breaks_a_rule_is_refused_by_key_and_rule(
    installation: Installation, data: bytes, key: str, rule: str
) -> None:
    error = await _refused(installation, data, BadProfile)
    assert (error.key, error.rule) == (key, rule)


@pytest.mark.usefixtures("device")
async def test_so_is_a_signature_that_does_not_hold(installation: Installation) -> None:
    identity = PKI.at(NOW).signer()
    broken = sign(written(), certificate=identity.certificate, key=identity.key, now=NOW).replace(b"Orchard", b"Orchids")
    assert (await _refused(installation, broken, BadProfile)).rule == "signature-holds"


async def test_a_variable_without_a_value_is_refused(installation: Installation, device: Enrollment) -> None:
    assert (await _refused(installation, with_payload(SSID_STR="{{ user.id }}"), MissingVariable)).name == "user.id"
    user = replace(device, key=EnrollmentKey("c"), id=EnrollmentID("udid:jo"), parent=device.key, user_id="jo", udid=None)
    await installation.store.run(lambda tx: tx.enrollments.add(user))
    sent = _payload(installation, await _send(installation, with_payload(SSID_STR="{{ user.id }}"), device="udid:jo"))
    assert b"<string>jo</string>" in sent


@pytest.mark.usefixtures("device")
async def test_an_identifier_of_this_servers_own_is_refused(installation: Installation) -> None:
    error = await _refused(installation, written(PayloadIdentifier="bramley.network.wifi"), Invalid)
    assert "this server's own" in error.message


@pytest.mark.usefixtures("device")
async def test_where_the_signer_cannot_sign_nothing_goes_out(live: Live, clock: SetClock) -> None:
    clock.moment = signers.ends([live.current().signer.certificate]) + timedelta(days=1)
    await _refused(live.installation, written(), CannotSign)
    assert _payload(live.installation, await _send(live.installation, written(), as_is=True)) == written()


@pytest.mark.usefixtures("device")
async def test_what_is_worth_knowing_of_a_profile_comes_back(installation: Installation) -> None:
    (note,) = (await _send(installation, with_payload(SSID="Orchard"))).notes
    assert note.path == "PayloadContent[0].SSID"


@pytest.mark.usefixtures("device")
async def test_only_a_profile_goes_out_as_it_is(installation: Installation) -> None:
    with pytest.raises(BadInput, match="Expected InstallProfile"):
        await device_commands.send(installation, "udid", SecurityInfo(), as_is=True, actor="test")
