"""Profiles kept, assigned and judged: what is refused changes nothing, and says which key and which rule."""

from __future__ import annotations

import plistlib
from datetime import timedelta
from typing import Any

import pytest
from asn1crypto import cms as asn1_cms
from cryptography import x509

from bramley.errors import BadInput
from bramley.model.enrollments import EnrollmentID
from bramley.model.kinds import Kind
from bramley.model.profiles import Handling, TargetKind
from bramley.operations import records
from bramley.operations.errors import Invalid
from bramley.operations.live import Live
from bramley.operations.profiles import assigning, keeping, signing, verdict
from bramley.operations.profiles.addressees import addressees
from bramley.operations.profiles.assigning import Target
from bramley.operations.profiles.verdict import Shown
from bramley.operations.signers import Signer
from bramley.pki import certificates, cms, keys, names
from bramley.pki.ca import profiles
from bramley.pki.ca.authority import Authority, issue, self_signed
from bramley.profiles import documents
from bramley.profiles.encrypt import ContentCipher, encrypt
from bramley.profiles.errors import BadProfile, CannotSign, NoRecipient, UnknownVariable
from bramley.profiles.rules import Rule
from bramley.profiles.sign import sign
from tests.conftest import NOW
from tests.operations.conftest import enrolled
from tests.operations.signer_kit import PKI, make

AES_128 = bytes.fromhex("060960864801650304 0102")
"""aes128-CBC (RFC 3565), encoded; with 6 in the place of its 2 it is AES-128-GCM."""

PAYLOAD = {
    "PayloadType": "com.apple.wifi.managed",
    "PayloadVersion": 1,
    "PayloadIdentifier": "example.wifi.1",
    "PayloadUUID": "00000000-0000-4000-8000-000000000002",
    "SSID_STR": "Orchard",
    "EncryptionType": "None",
}
PROFILE: dict[str, Any] = {
    "PayloadType": "Configuration",
    "PayloadVersion": 1,
    "PayloadIdentifier": "example.wifi",
    "PayloadUUID": "00000000-0000-4000-8000-000000000001",
    "PayloadDisplayName": "Wi-Fi",
    "PayloadContent": [PAYLOAD],
}
OTHER_UUID = "00000000-0000-4000-8000-000000000009"
MDM = {
    "PayloadType": "com.apple.mdm",
    "PayloadVersion": 1,
    "PayloadIdentifier": "example.mdm",
    "PayloadUUID": "00000000-0000-4000-8000-000000000003",
    "IdentityCertificateUUID": "00000000-0000-4000-8000-000000000004",
    "Topic": "com.apple.mgmt.External.a",
    "ServerURL": "https://mdm.example/",
    "AccessRights": 8191,
}


def written(**changes: Any) -> bytes:
    return plistlib.dumps({**PROFILE, **changes})


def with_payload(**changes: Any) -> bytes:
    return written(PayloadContent=[{**PAYLOAD, **changes}])


@pytest.fixture(scope="module")
def stranger() -> Authority:
    """A signer of a CA that nobody here trusts, with its CA above it."""
    root_key, key = (keys.generate(keys.KeyAlgorithm.P_256) for _ in range(2))
    root = Authority(self_signed(profiles.ROOT_CA, root_key, names.make("Cider Root"), now=NOW), root_key)
    leaf = issue(root, profiles.PROFILE_SIGNER, key.public_key(), subject=names.make("Cider Signer"), now=NOW)
    return Authority(leaf, key, (root.certificate,))


async def test_kept_replaced_and_the_same_again(live: Live) -> None:
    here = live.installation
    first = await keeping.put(here, written(), actor="test")
    assert (first.changed, first.profile.revision, first.profile.name) == (True, 1, "Wi-Fi")
    assert first.profile.handling is Handling.SIGN
    again = await keeping.put(here, written(), actor="test")
    assert (again.changed, again.profile) == (False, first.profile)
    second = await keeping.put(here, written(PayloadOrganization="Orchard"), name="Guests", encrypt=True, actor="test")
    assert (second.profile.id, second.profile.revision, second.profile.name) == (first.profile.id, 2, "Guests")
    assert second.profile.handling is Handling.ENCRYPT
    assert (await keeping.put(here, written(PayloadOrganization="Orchard"), encrypt=True, actor="test")).profile.name == "Guests"
    assert await keeping.content(here, "example.wifi") == written(PayloadOrganization="Orchard")
    assert b"Orchard" not in second.profile.content


async def test_what_was_to_be_encrypted_stays_so_until_the_contrary_is_said(live: Live) -> None:
    here = live.installation

    async def keep(**changes: Any) -> Handling:
        encrypt = changes.pop("encrypt", None)
        return (await keeping.put(here, written(**changes), encrypt=encrypt, actor="test")).profile.handling

    assert await keep() is Handling.SIGN
    assert await keep(encrypt=True) is Handling.ENCRYPT
    assert await keep(PayloadOrganization="Orchard") is Handling.ENCRYPT
    assert (await keeping.put(here, written(), name="Guests", actor="test")).profile.handling is Handling.ENCRYPT
    assert await keep(encrypt=False) is Handling.SIGN
    assert await keep(PayloadOrganization="Orchard") is Handling.SIGN


async def test_what_comes_signed_does_not_take_the_place_of_what_is_encrypted_unasked(live: Live, stranger: Authority) -> None:
    here, ca = live.installation, live.current().authorities.identity.authority.certificate
    signed = sign(written(), certificate=stranger.certificate, key=stranger.key, now=NOW)
    first = await keeping.put(here, written(), encrypt=True, actor="test")
    with pytest.raises(Invalid, match="in clear"):
        await keeping.put(here, signed, actor="test")
    assert (await keeping.show(here, "example.wifi")).profile == first.profile
    sealed = await keeping.put(here, encrypt(PROFILE, ca), actor="test")
    assert sealed.profile.handling is Handling.AS_IS
    with pytest.raises(Invalid, match="in clear"):
        await keeping.put(here, signed, actor="test")
    assert (await keeping.put(here, written(), actor="test")).profile.handling is Handling.ENCRYPT
    assert (await keeping.put(here, signed, encrypt=False, actor="test")).profile.handling is Handling.AS_IS
    assert (await keeping.put(here, written(), actor="test")).profile.handling is Handling.SIGN


@pytest.mark.parametrize(
    ("data", "kind", "words"),
    [
        (b"", BadProfile, "configuration profile"),
        (b"<plist><dict/></plist>", BadProfile, "Payload"),
        (written(PayloadIdentifier="bramley.enrollment"), BadInput, "this server's own"),
        (written(PayloadIdentifier="bramley"), BadInput, "this server's own"),
        (written(PayloadContent=[MDM]), BadInput, "MDM payload"),
        (written(PayloadContent=[MDM, {**MDM, "PayloadUUID": OTHER_UUID}]), BadProfile, "com.apple.mdm"),
        (with_payload(PayloadCertificateUUID="00000000-0000-4000-8000-00000000000f"), BadProfile, "PayloadCertificateUUID"),
        (with_payload(SSID_STR=7), BadProfile, "SSID_STR"),
        (with_payload(SSID_STR="{{ device.color }}"), (BadProfile, UnknownVariable), "device.color"),
        (with_payload(SSID_STR="{{ device.serial"), (BadProfile, UnknownVariable), "SSID_STR"),
    ],
)
async def test_what_is_refused_changes_nothing(live: Live, data: bytes, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        await keeping.put(live.installation, data, actor="test")
    assert await keeping.listing(live.installation) == []


async def test_what_somebody_signed_goes_out_as_it_is(live: Live, stranger: Authority) -> None:
    signed = sign(written(), certificate=stranger.certificate, key=stranger.key, chain=stranger.chain, now=NOW)
    kept = await keeping.put(live.installation, signed, actor="test")
    assert kept.profile.handling is Handling.AS_IS
    assert await keeping.content(live.installation, "example.wifi") == signed
    with pytest.raises(BadInput, match="goes out as it is"):
        await keeping.put(live.installation, signed, encrypt=True, actor="test")
    changed = bytearray(signed)
    changed[signed.index(b"Orchard")] ^= 1
    with pytest.raises(BadProfile, match="signature"):
        await keeping.put(live.installation, bytes(changed), actor="test")


@pytest.mark.parametrize(("days", "words"), [((-10, -5), "ended on"), ((5, 10), "begins on")])
async def test_a_signer_out_of_force_is_refused(live: Live, days: tuple[int, int], words: str) -> None:
    signer = PKI.at(NOW).signer(days=days)
    signed = sign(written(), certificate=signer.certificate, key=signer.key, now=NOW + timedelta(days=days[0] + 1))
    with pytest.raises(BadProfile, match=f"Cider Signer {words}") as refused:
        await keeping.put(live.installation, signed, actor="test")
    assert (refused.value.key, refused.value.rule) == ("", Rule.SIGNER_IN_FORCE)
    assert await keeping.listing(live.installation) == []


async def test_a_reference_to_nothing_is_refused_in_a_signed_one_too(live: Live, stranger: Authority) -> None:
    for data in (with_payload(PayloadCertificateUUID=OTHER_UUID), with_payload(SSID_STR=7)):
        with pytest.raises(BadProfile):
            await keeping.put(
                live.installation, sign(data, certificate=stranger.certificate, key=stranger.key, now=NOW), actor="t"
            )
    braces = sign(with_payload(SSID_STR="{{ cider"), certificate=stranger.certificate, key=stranger.key, now=NOW)
    kept = await keeping.put(live.installation, braces, actor="test")
    assert (kept.profile.handling, kept.findings) == (Handling.AS_IS, ())


async def test_what_is_encrypted_as_a_whole_has_no_identifier(live: Live) -> None:
    root = live.current().authorities.identity.authority.certificate
    with pytest.raises(BadInput, match="identifier"):
        await keeping.put(live.installation, cms.encrypt(written(), recipients=[root]), actor="test")


async def test_a_profile_in_use_is_not_forgotten(live: Live) -> None:
    here = live.installation
    await keeping.put(here, written(), actor="test")
    assert await assigning.assign(here, "example.wifi", [Target(TargetKind.TAG, "staff")], actor="test") == 1
    assert await assigning.assign(here, "example.wifi", [Target(TargetKind.TAG, "staff")], actor="test") == 0
    with pytest.raises(BadInput, match="is assigned"):
        await keeping.remove(here, "example.wifi", actor="test")
    assert await assigning.unassign(here, "example.wifi", [Target(TargetKind.TAG, "staff")], actor="test") == 1
    await keeping.remove(here, "example.wifi", actor="test")
    with pytest.raises(BadInput, match="no profile"):
        await keeping.show(here, "example.wifi")


@pytest.mark.parametrize("tag", ["", "Staff", "staff!", "-staff", "s" * 64, "stáff", "staff\n"])
async def test_a_tag_that_is_none(live: Live, tag: str) -> None:
    await keeping.put(live.installation, written(), actor="test")
    with pytest.raises(BadInput, match="tag"):
        await assigning.assign(live.installation, "example.wifi", [Target(TargetKind.TAG, tag)], actor="test")


async def test_all_targets_or_none(live: Live) -> None:
    await keeping.put(live.installation, written(), actor="test")
    targets = [Target(TargetKind.TAG, "staff"), Target(TargetKind.DEVICE, "nobody")]
    with pytest.raises(BadInput, match="no device"):
        await assigning.assign(live.installation, "example.wifi", targets, actor="test")
    assert (await keeping.show(live.installation, "example.wifi")).assignments == []
    assert await live.installation.store.read(lambda tx: tx.profiles.wanted(EnrollmentID("nobody"))) == []


class TestOnCommand:
    @pytest.mark.parametrize("signer", [Signer.OWN, Signer.HTTPS])
    async def test_signed_by_each_signer_devices_show_it_as_verified(self, live: Live, signer: Signer) -> None:
        snapshot = live.current()
        signed = documents.read(signing.sign_file(written(), await signing.pair_of(live, signer), None, NOW))
        assert signed.content == PROFILE
        judged = verdict.judge(signed, ours=[snapshot.authorities.root.certificate], public=[], now=NOW)
        assert judged.shown is Shown.VERIFIED, judged.why

    def test_encrypted_before(self, live: Live, device_keys: list[Any]) -> None:
        snapshot = live.current()
        recipient = issue(
            snapshot.authorities.identity.authority,
            profiles.DEVICE_IDENTITY,
            device_keys[0].public_key(),
            subject=names.make("device"),
            now=NOW,
        )
        signed = documents.read(signing.sign_file(written(), snapshot.signer, recipient, NOW))
        assert signed.encrypted
        assert signed.content is not None
        sealed = signed.content["EncryptedPayloadContent"]
        assert isinstance(sealed, bytes)
        opened = cms.decrypt(sealed, certificate=recipient, key=device_keys[0])
        assert plistlib.loads(opened.content) == [PAYLOAD]

    @pytest.mark.parametrize(("cipher", "oid"), [(ContentCipher.AES_128, "aes128_cbc"), (ContentCipher.AES_256, "aes256_cbc")])
    def test_encrypted_with_the_cipher_of_choice(self, live: Live, cipher: ContentCipher, oid: str) -> None:
        recipient = live.current().authorities.identity.authority.certificate
        signed = signing.sign_file(written(), live.current().signer, recipient, NOW, cipher=cipher)
        content = documents.read(signed).content
        assert content is not None
        enveloped = asn1_cms.ContentInfo.load(content["EncryptedPayloadContent"])["content"]
        assert enveloped["encrypted_content_info"]["content_encryption_algorithm"]["algorithm"].native == oid

    @pytest.mark.parametrize("text", ["Orchard {{ device.serial }}", "{{organization}}", 'Two {{ "{{" }}'])
    def test_no_variable_is_signed_as_it_stands(self, live: Live, text: str) -> None:
        for recipient in (None, live.current().authorities.identity.authority.certificate):
            with pytest.raises(BadInput, match="without variables"):
                signing.sign_file(with_payload(SSID_STR=text), live.current().signer, recipient, NOW)

    def test_neither_twice_nor_badly(self, live: Live, stranger: Authority) -> None:
        pair = live.current().signer
        once = signing.sign_file(written(), pair, None, NOW)
        with pytest.raises(BadInput, match="already"):
            signing.sign_file(once, pair, None, NOW)
        with pytest.raises(CannotSign):
            signing.sign_file(written(), pair, None, pair.certificate.not_valid_after_utc + timedelta(seconds=1))
        with pytest.raises(NoRecipient):
            signing.sign_file(written(), pair, stranger.certificate, NOW)
        recipient = live.current().authorities.identity.authority.certificate
        for moment in (
            recipient.not_valid_before_utc - timedelta(seconds=1),
            recipient.not_valid_after_utc + timedelta(seconds=1),
        ):
            with pytest.raises(NoRecipient, match="valid now"):
                signing.sign_file(written(), pair, recipient, moment)
        with pytest.raises(BadProfile):
            signing.sign_file(with_payload(SSID_STR=7), pair, None, NOW)


async def test_whose_certificate_a_profile_is_encrypted_to(live: Live, device_keys: list[Any]) -> None:
    here, key = live.installation, await enrolled(live, device_keys[0], "UDID-1")
    identity = await here.store.read(lambda tx: records.active(tx, Kind.DEVICE_IDENTITY, key))
    assert identity is not None
    assert identity.certificate is not None
    known, pair = certificates.load(identity.certificate), live.current().signer
    own = live.current().authorities.identity.authority.certificate
    whole = cms.encrypt(written(), recipients=[own, known], cipher="aes-128-cbc")
    elsewhere = make("Elsewhere", None, device_keys[1], NOW, serial=known.serial_number).certificate

    async def named(data: bytes) -> list[str | None]:
        document = documents.read(data)
        return [each.id for each in await here.store.read(lambda tx: addressees(tx, document))]

    for data in (encrypt(PROFILE, known), whole):
        assert await named(data) == ["UDID-1"]
        assert await named(sign(data, certificate=pair.certificate, key=pair.key, now=NOW)) == ["UDID-1"]
    # only a CA's; of another issuer with the same serial number; with a cipher that is not read here; in clear
    for data in (encrypt(PROFILE, own), encrypt(PROFILE, elsewhere), whole.replace(AES_128, AES_128[:-1] + b"\x06"), written()):
        assert await named(data) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"PayloadContent": [MDM]}, "MDM payload"), ({"PayloadIdentifier": "bramley.trust"}, "this server's own")],
)
async def test_a_signature_lets_nothing_pass_that_is_refused_in_clear(
    live: Live, stranger: Authority, changes: dict[str, Any], words: str
) -> None:
    signed = sign(written(**changes), certificate=stranger.certificate, key=stranger.key, chain=stranger.chain, now=NOW)
    with pytest.raises(BadInput, match=words):
        await keeping.put(live.installation, signed, actor="test")
    assert await keeping.listing(live.installation) == []


class TestVerdict:
    def judge(self, live: Live, data: bytes, days: int = 0, public: tuple[x509.Certificate, ...] = ()) -> verdict.Verdict:
        ours = [live.current().authorities.root.certificate]
        return verdict.judge(documents.read(data), ours=ours, public=public, now=NOW + timedelta(days=days))

    def test_nobody_signed(self, live: Live) -> None:
        assert self.judge(live, written()).shown is Shown.NOT_SIGNED

    def test_a_stranger(self, live: Live, stranger: Authority) -> None:
        signed = sign(written(), certificate=stranger.certificate, key=stranger.key, chain=stranger.chain, now=NOW)
        judged = self.judge(live, signed)
        assert (judged.shown, "only where it was installed" in judged.why) == (Shown.UNVERIFIED, True)
        assert len(judged.chain) == 2
        trusted = self.judge(live, signed, public=stranger.chain)
        assert (trusted.shown, "from the start" in trusted.why) == (Shown.VERIFIED, True)

    def test_without_its_chain(self, live: Live, stranger: Authority) -> None:
        pair = live.current().signer
        for certificate, key in ((pair.certificate, pair.key), (stranger.certificate, stranger.key)):
            judged = self.judge(live, sign(written(), certificate=certificate, key=key, now=NOW))
            assert (judged.shown, "whole chain" in judged.why) == (Shown.UNVERIFIED, True)

    def test_whose_root_is_not_known_here(self, live: Live) -> None:
        pki = PKI.at(NOW)
        signer = pki.signer()
        signed = sign(written(), certificate=signer.certificate, key=signer.key, chain=signer.above[:1], now=NOW)
        judged = self.judge(live, signed)
        assert (judged.shown, judged.chain) == (Shown.UNVERIFIED, (signer.certificate, pki.ca.certificate))
        assert "CN=Cider Root, which issued CN=Cider CA, is neither enclosed nor a root that is known here." in judged.why
        assert "--anchor names it" in judged.why

    def test_a_signer_that_has_ended(self, live: Live) -> None:
        pair = live.current().signer
        signed = sign(written(), certificate=pair.certificate, key=pair.key, chain=pair.chain, now=NOW)
        judged = self.judge(live, signed, days=(pair.certificate.not_valid_after_utc - NOW).days + 1)
        assert (judged.shown, "ended on" in judged.why) == (Shown.UNVERIFIED, True)

    def test_one_that_vouches_for_itself(self, live: Live) -> None:
        key = keys.generate(keys.KeyAlgorithm.P_256)
        alone = self_signed(profiles.ROOT_CA, key, names.make("Alone"), now=NOW)
        judged = self.judge(live, sign(written(), certificate=alone, key=key, now=NOW))
        assert (judged.shown, "vouches for itself" in judged.why) == (Shown.UNVERIFIED, True)

    def test_encrypted_and_signed(self, live: Live) -> None:
        pair, recipient = live.current().signer, live.current().authorities.identity.authority.certificate
        sealed = encrypt(PROFILE, recipient)
        signed = sign(sealed, certificate=pair.certificate, key=pair.key, chain=pair.chain, now=NOW)
        assert self.judge(live, signed).shown is Shown.VERIFIED
        assert certificates.sha256(recipient)
