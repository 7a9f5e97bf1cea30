"""The one message that a device gets: what cannot be filled in, encrypted or signed does not go out, in clear least of all."""

from __future__ import annotations

import plistlib
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from asn1crypto import cms as asn1_cms
from cryptography.hazmat.primitives.asymmetric import rsa

from bramley.model.enrollments import Enrollment, EnrollmentID, EnrollmentKey, EnrollmentState
from bramley.model.profiles import Handling
from bramley.operations.live import Live
from bramley.operations.profiles import making
from bramley.operations.profiles.making import Recipe
from bramley.pki import certificates, cms, keys, names
from bramley.pki.ca.authority import issue
from bramley.pki.ca.profiles import DEVICE_IDENTITY
from bramley.profiles.encrypt import ContentCipher
from bramley.profiles.errors import CannotSign, MissingVariable, NoRecipient
from tests.conftest import NOW

from .test_profiles import PAYLOAD, with_payload, written

PLAIN = Recipe(written(), Handling.SIGN, {})
SECRET = Recipe(written(), Handling.ENCRYPT, {})


def opened(message: bytes) -> dict[str, Any]:
    content: dict[str, Any] = plistlib.loads(cms.verify(cms.parse_signed_data(message), policy=cms.STRICT).content)
    return content


def test_what_is_to_be_encrypted_is_not_made_without_a_recipient(live: Live) -> None:
    with pytest.raises(NoRecipient, match="in force"):
        making.make(SECRET, live.current().signer, NOW)


@pytest.mark.parametrize("handling", [Handling.SIGN, Handling.ENCRYPT])
def test_nothing_is_made_that_cannot_be_signed(live: Live, handling: Handling, device_keys: list[keys.PrivateKey]) -> None:
    signer, recipe = live.current().signer, replace(PLAIN, handling=handling, recipient=recipient(live, device_keys[0]))
    making.make(recipe, signer, NOW)
    with pytest.raises(CannotSign):
        making.make(recipe, signer, signer.certificate.not_valid_after_utc + timedelta(seconds=1))
    with pytest.raises(CannotSign):
        making.make(recipe, replace(signer, key=device_keys[0]), NOW)


@pytest.mark.parametrize("handling", [Handling.SIGN, Handling.ENCRYPT])
def test_the_whole_chain_goes_along(live: Live, handling: Handling, device_keys: list[keys.PrivateKey]) -> None:
    signer = live.current().signer
    made = making.make(replace(PLAIN, handling=handling, recipient=recipient(live, device_keys[0])), signer, NOW)
    assert signer.chain
    assert cms.parse_signed_data(made).certificates == tuple(map(certificates.der, (signer.certificate, *signer.chain)))


@pytest.mark.parametrize(("cipher", "oid"), [(ContentCipher.AES_128, "aes128_cbc"), (ContentCipher.AES_256, "aes256_cbc")])
def test_the_recipient_alone_opens_it_and_the_cipher_is_the_one_of_choice(
    live: Live, cipher: ContentCipher, oid: str, device_keys: list[keys.PrivateKey]
) -> None:
    own, other = device_keys[:2]
    assert isinstance(own, rsa.RSAPrivateKey)
    assert isinstance(other, rsa.RSAPrivateKey)
    certificate = recipient(live, own)
    made = making.make(replace(SECRET, recipient=certificate, cipher=cipher), live.current().signer, NOW)
    assert b"SSID_STR" not in made
    sealed = opened(made)["EncryptedPayloadContent"]
    content = asn1_cms.ContentInfo.load(sealed)["content"]["encrypted_content_info"]
    assert content["content_encryption_algorithm"]["algorithm"].native == oid
    assert plistlib.loads(cms.decrypt(sealed, certificate=certificate, key=own).content) == [PAYLOAD]
    with pytest.raises(cms.CMSError):
        cms.decrypt(sealed, certificate=recipient(live, other), key=other)


@pytest.mark.parametrize("serial", [None, ""])
def test_a_device_without_a_value_gets_no_profile_that_asks_for_it(live: Live, serial: str | None) -> None:
    values = making.values_for(device(serial_number=serial), "Orchard")
    with pytest.raises(MissingVariable, match=r"device\.serial"):
        making.make(Recipe(with_payload(SSID_STR="{{ device.serial }}"), Handling.SIGN, values), live.current().signer, NOW)


def test_values_are_those_of_the_device_and_of_the_user_whose_channel_it_is(live: Live) -> None:
    mac = device(serial_number="C02ORCHARD")
    channel = device(key=EnrollmentKey("c"), parent=mac.key, user_id="501", user_short_name="jo", serial_number="another")
    recipe = Recipe(with_payload(SSID_STR="{{ device.serial }} {{ user.short_name }}"), Handling.SIGN, {})
    values = making.values_for(mac, "Orchard", channel=channel)
    made = making.make(replace(recipe, values=values), live.current().signer, NOW)
    assert opened(made)["PayloadContent"][0]["SSID_STR"] == "C02ORCHARD jo"
    with pytest.raises(MissingVariable, match=r"user\.short_name"):
        making.make(replace(recipe, values=making.values_for(mac, "Orchard")), live.current().signer, NOW)


def test_what_goes_out_as_it_is_is_not_touched(live: Live) -> None:
    content = b"octets {{ device.serial }} of somebody else"
    assert making.make(Recipe(content, Handling.AS_IS, {}), live.current().signer, NOW) == content


def recipient(live: Live, key: keys.PrivateKey) -> Any:
    ca = live.current().authorities.identity.authority
    return issue(ca, DEVICE_IDENTITY, key.public_key(), subject=names.make("device"), now=NOW)


def device(**fields: Any) -> Enrollment:
    described = {"key": EnrollmentKey("k"), "id": EnrollmentID("udid"), "udid": "udid", **fields}
    return Enrollment(state=EnrollmentState.ACTIVE, created_at=NOW, changed_at=NOW, **described)
