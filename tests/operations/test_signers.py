"""Who signs profiles: what may be imported for it, what is chosen, and that nobody steps in where the chosen one cannot."""

from __future__ import annotations

import plistlib
import shutil
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from bramley.errors import BadInput, BramleyError
from bramley.lifecycle.next_step import Mover, next_step
from bramley.mdm.token_update import DELIVER_PROFILES
from bramley.model.enrollments import Purpose
from bramley.model.events import EventKind
from bramley.model.kinds import Kind
from bramley.model.lineages import Version, VersionState
from bramley.model.profiles import InstallState, TargetKind
from bramley.operations import enrolling, enrollment_profiles, kept_signers, outside_chains, records, signers, trusted_cas
from bramley.operations.enrollment_profiles import Recipient
from bramley.operations.live import Live
from bramley.operations.profiles import assigning, delivery, keeping, signing, verdict
from bramley.operations.profiles.assigning import Target
from bramley.operations.profiles.verdict import Shown
from bramley.operations.signers import Imported, Signer
from bramley.pki import certificates, keys
from bramley.pki.keys import KeyAlgorithm
from bramley.pki.pkcs12 import Bundle
from bramley.profiles import documents
from bramley.profiles.errors import CannotSign
from bramley.profiles.sign import sign
from bramley.storage.protocols import Tx
from tests.conftest import NOW, SetClock
from tests.operations.conftest import enrolled
from tests.operations.signer_kit import CODE, MAIL, MARK, PASSWORD, PKI, SERVER, Identity, key_usage, make

PROFILE = {
    "PayloadType": "Configuration",
    "PayloadVersion": 1,
    "PayloadIdentifier": "example.empty",
    "PayloadUUID": "00000000-0000-4000-8000-000000000001",
    "PayloadDisplayName": "Empty",
    "PayloadContent": [],
}
PLAIN = plistlib.dumps(PROFILE)


@pytest.fixture(scope="module")
def pki() -> PKI:
    return PKI.at(NOW)


async def bring(live: Live, identity: Identity, *public: x509.Certificate, others: tuple[x509.Certificate, ...] = ()) -> Imported:
    return await signers.import_files(live.installation, [identity.file(*others)], PASSWORD, public=public, actor="test")


async def use(live: Live, signer: Signer) -> None:
    await signers.choose(live.installation, signer, actor="test")
    await live.refresh()


async def fetch(live: Live) -> bytes:
    """An enrollment profile, as somebody with a link gets it."""
    link = await enrolling.create_link(live.installation, label="", uses=1, expires_in=timedelta(days=9999), actor="test")
    return await enrolling.profile_for_link(live, link.url.rsplit("/", 1)[1])


def by(data: bytes) -> x509.Certificate | None:
    return documents.read(data).signer


def standing(tx: Tx) -> tuple[list[tuple[str, str, str]], int]:
    """Every certificate and key on record."""
    rows = tx.lineages.certificates(limit=1000)
    return [(row.lineage.name, row.version.id, row.version.state) for row in rows], len(tx.events.find(limit=10_000))


UNFIT: dict[str, tuple[Callable[[PKI], tuple[Identity, tuple[x509.Certificate, ...]]], str]] = {
    "ended": (lambda pki: (pki.signer(days=(-9, -1)), ()), "expired at"),
    "to come": (lambda pki: (pki.signer(days=(1, 9)), ()), "valid from"),
    "below one that ended": (
        lambda pki: (make("Below", make("Old CA", pki.root, pki.ec, NOW, ca=True, days=(-9, -1)), pki.rsa, NOW), ()),
        "Old CA.* expired at",
    ),
    "a CA": (lambda pki: (pki.ca, ()), "is a CA"),
    "a weak key": (lambda pki: (make("Weak", pki.ca, generate_private_key(65537, 1024), NOW), ()), "1024"),
    "no signatures": (lambda pki: (pki.signer("Sealed", key_usage(key_encipherment=True)), ()), "allows no signatures"),
    "odd and critical": (
        lambda pki: (
            pki.signer("Odd", x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\5\0")),
            (),
        ),
        "1.3.6.1.4.1.99999.1",
    ),
    "no chain": (
        lambda pki: (pki.signer(), (make("Stranger", None, pki.ec, NOW, ca=True).certificate,)),
        "the issuer of CN=Cider Signer is missing",
    ),
    "no root": (lambda pki: (pki.signer(), (pki.ca.certificate,)), "the issuer of CN=Cider CA is missing, CN=Cider Root"),
    "a gap": (lambda pki: (pki.signer(), (pki.root.certificate,)), "the issuer of CN=Cider Signer is missing"),
    "a root of Apple's right above": (
        lambda pki: (
            make("Leaf", make("Apple Root CA", None, pki.ec, NOW, ca=True, organization="Apple Inc."), pki.rsa, NOW),
            (pki.root.certificate,),
        ),
        "is missing",
    ),
}


class TestImport:
    async def test_kept_with_its_chain_and_the_next_one_takes_its_place(self, live: Live, pki: PKI) -> None:
        first, second = pki.signer(), pki.signer("Second")
        done = await bring(live, first)
        assert (done.signs, done.version.state, done.chain) == (False, VersionState.ACTIVE, (first.certificate, *first.above))
        await bring(live, second)
        store, sealer = live.installation.store, live.installation.sealer

        def read(tx: Tx) -> None:
            bundle = kept_signers.take(tx, sealer, Kind.PROFILE_SIGNER, "imported")
            assert bundle is not None
            assert (bundle.certificate, bundle.others) == (second.certificate, (pki.ca.certificate, pki.root.certificate))
            former = tx.lineages.version(done.version.id)
            assert former is not None
            assert former.state is VersionState.SUPERSEDED
            kinds = [row.lineage.kind for row in tx.lineages.certificates(kind=Kind.TRUST_ANCHOR)]
            assert kinds == [Kind.TRUST_ANCHOR] * 2
            assert trusted_cas.read(tx) == []
            own = records.active(tx, Kind.PROFILE_SIGNER, "default")
            assert own is not None

        await store.read(read)

    async def test_a_ca_that_was_known_alone_gets_what_is_above_it(self, live: Live, pki: PKI) -> None:
        await trusted_cas.trust(live.installation, pki.ca.certificate, actor="test")
        done = await bring(live, pki.signer())
        chain = await live.installation.store.read(lambda tx: outside_chains.above(tx, done.version))
        assert chain == (pki.ca.certificate, pki.root.certificate)

    async def test_the_root_may_be_missing_where_devices_have_it(self, live: Live, pki: PKI) -> None:
        done = await bring(live, pki.signer(), pki.root.certificate, others=(pki.ca.certificate,))
        assert (done.chain[1:], done.warnings) == ((pki.ca.certificate, pki.root.certificate), ())
        root = make("Apple Root CA", None, pki.ec, NOW, ca=True, organization="Apple Inc.")
        ca = make("Developer ID Certification Authority", root, keys.generate(KeyAlgorithm.P_256), NOW, ca=True)
        leaf = make("Developer ID Application: Orchard", ca, pki.rsa, NOW, CODE, MARK)
        done = await bring(live, leaf, others=(ca.certificate,))
        assert (done.chain, done.warnings) == ((leaf.certificate, ca.certificate), ())

    @pytest.mark.parametrize(
        ("identity", "words"),
        [
            (lambda pki: pki.signer("Web", SERVER), ["emailProtection", "only where they trust CN=Cider Root"]),
            (lambda pki: pki.signer(days=(-1, 20)), ["until 2026-12-14 only", "only where they trust"]),
            (lambda pki: make("Alone", None, pki.ec, NOW, MAIL), ["only where they trust CN=Alone"]),
        ],
    )
    async def test_what_deserves_a_look(
        self, live: Live, pki: PKI, identity: Callable[[PKI], Identity], words: list[str]
    ) -> None:
        warnings = (await bring(live, identity(pki))).warnings
        assert len(warnings) == len(words)
        assert all(any(word in each for each in warnings) for word in words)

    @pytest.mark.parametrize("days", [(-9, 300), (-9, -1)], ids=["in force", "ended"])
    async def test_a_root_that_a_former_one_certified_too_is_one_way_up(
        self, live: Live, pki: PKI, days: tuple[int, int]
    ) -> None:
        former = make("Perry Root", None, pki.ec, NOW, ca=True)
        crossed = make("Cider Root", former, pki.root.key, NOW, ca=True, days=days).certificate
        signer = pki.signer()
        for others in ((crossed, pki.ca.certificate, pki.root.certificate), (pki.ca.certificate, crossed)):
            checked = signers.check(Bundle(signer.key, signer.certificate, others), public=[pki.root.certificate], now=NOW)
            assert (checked.above, checked.warnings) == ((pki.ca.certificate, pki.root.certificate), ())
        with pytest.raises(BramleyError, match="expired" if days[1] < 0 else "the issuer of CN=Cider Root is missing"):
            await bring(live, signer, others=(crossed, pki.ca.certificate))

    @pytest.mark.parametrize("name", UNFIT)
    async def test_unfit_identities_change_nothing(self, live: Live, pki: PKI, name: str) -> None:
        make_it, words = UNFIT[name]
        identity, others = make_it(pki)
        before = await live.installation.store.read(standing)
        with pytest.raises(BramleyError, match=words) as told:
            await bring(live, identity, others=others)
        assert PASSWORD not in str(told.value)
        assert await live.installation.store.read(standing) == before

    async def test_another_key_a_wrong_password_and_the_same_again_change_nothing(self, live: Live, pki: PKI) -> None:
        signer = pki.signer()
        await bring(live, signer)
        before = await live.installation.store.read(standing)
        own = live.current().signer
        bad: list[tuple[list[bytes], str | None, str]] = [
            ([certificates.pem(signer.certificate), keys.to_pkcs8(pki.ec)], None, "for another key"),
            ([signer.file()], "wrong", "password"),
            ([signer.file()], PASSWORD, "is here already"),
            (
                [keys.to_pkcs8(own.key), *map(certificates.pem, (own.certificate, *own.chain, _root(live)))],
                None,
                "is here already",
            ),
            ([certificates.pem(signer.certificate)], None, "private key"),
            ([b"nothing"], None, "certificate"),
        ]
        for files, password, words in bad:
            with pytest.raises(BramleyError, match=words):
                await signers.import_files(live.installation, files, password, public=(), actor="test")
        assert await live.installation.store.read(standing) == before


def _root(live: Live) -> x509.Certificate:
    return live.current().authorities.root.certificate


class TestChoice:
    async def test_the_chosen_one_signs_what_goes_out(self, live: Live, pki: PKI) -> None:
        own, https, imported = live.current().signer.certificate, live.current().https.certificate, pki.signer()
        await bring(live, imported)
        await live.refresh()
        assert by(await fetch(live)) == own
        for signer, certificate in ((Signer.IMPORTED, imported.certificate), (Signer.HTTPS, https), (Signer.OWN, own)):
            await use(live, signer)
            assert by(await fetch(live)) == certificate
            found = {each.signer: each for each in await signers.standings(live.installation)}
            assert [each for each in found if found[each].signs] == [signer]
            assert found[signer].chain[0] == certificate
        chosen = await live.installation.store.read(lambda tx: tx.events.find(kind=EventKind.PROFILE_SIGNER_CHOSEN))
        assert [each.detail["signer"] for each in chosen] == ["own", "https", "imported"]

    async def test_a_renewed_one_signs_at_once(self, live: Live, pki: PKI) -> None:
        await bring(live, pki.signer())
        await use(live, Signer.IMPORTED)
        await use(live, Signer.IMPORTED)
        second = pki.signer("Second")
        assert (await bring(live, second)).signs
        await live.refresh()
        assert by(await fetch(live)) == second.certificate

    async def test_what_is_not_there_or_not_valid_is_not_chosen(self, live: Live, pki: PKI, clock: SetClock) -> None:
        with pytest.raises(BadInput, match="no signer imported"):
            await use(live, Signer.IMPORTED)
        await bring(live, pki.signer(days=(-1, 3)))
        clock.moment += timedelta(days=4)
        with pytest.raises(BadInput, match="not now"):
            await use(live, Signer.IMPORTED)
        assert await live.installation.store.read(signers.chosen) is Signer.OWN

    async def test_one_that_has_ended_signs_nothing_and_nobody_steps_in(
        self, live: Live, pki: PKI, clock: SetClock, device_keys: list[Any]
    ) -> None:
        here = live.installation
        key = await enrolled(live, device_keys[0], "UDID-1")
        await keeping.put(here, PLAIN, actor="test")
        await assigning.assign(here, "example.empty", [Target(TargetKind.DEVICE, "UDID-1")], actor="test")
        await bring(live, pki.signer(days=(-1, 3)))
        await use(live, Signer.IMPORTED)
        clock.moment += timedelta(days=4)
        assert await live.refresh() is False
        with pytest.raises(CannotSign, match="valid from"):
            await fetch(live)
        recipient = Recipient(key, Purpose.RENEW, next(iter(live.current().topics)))
        renewal = await enrollment_profiles.prepare(here, live.current(), recipient, timedelta(days=1), clock.now())
        assert by(await here.store.run(renewal.record)) == live.current().own_signer.certificate
        assert await delivery.deliver(live, key, actor="test") == 0
        (row,) = await here.store.read(lambda tx: tx.profiles.on_device(key))
        assert (row.state, row.problem.startswith("not sent: Expected a certificate that is valid")) == (
            InstallState.FAILED,
            True,
        )
        again = await Live.start(here)  # the server comes up all the same
        assert signers.ends((again.current().signer.certificate, *again.current().signer.chain)) < clock.moment

    async def test_a_person_is_told_in_time(self, live: Live, pki: PKI) -> None:
        imported = (await bring(live, pki.signer(days=(-1, 99)))).version
        lineage = await live.installation.store.read(lambda tx: tx.lineages.get(imported.lineage_id))
        assert lineage is not None

        def told(version: Version, days: int) -> tuple[Mover, str]:
            assert lineage is not None
            step = next_step(lineage, version, NOW + timedelta(days=days), grace=timedelta())
            return step.mover, step.text

        assert told(imported, 0) == (Mover.HUMAN, "to be replaced from 2027-02-21 by `bramley profile signer import`")
        assert told(imported, 91) == (Mover.HUMAN, "to be replaced now by `bramley profile signer import`")
        assert told(imported, 100) == (Mover.HUMAN, "expired; replace it by `bramley profile signer import`")

    async def test_nothing_is_sent_again_for_a_new_signer(self, live: Live, pki: PKI, device_keys: list[Any]) -> None:
        here = live.installation
        key = await enrolled(live, device_keys[0], "UDID-1")
        await keeping.put(here, PLAIN, actor="test")
        await assigning.assign(here, "example.empty", [Target(TargetKind.DEVICE, "UDID-1")], actor="test")
        assert await delivery.deliver(live, key, actor="test") == 1
        before = await here.store.read(_work)
        await bring(live, pki.signer())
        for signer in (Signer.IMPORTED, Signer.HTTPS, Signer.OWN, Signer.IMPORTED):
            await use(live, signer)
        assert await here.store.read(_work) == before
        assert await delivery.deliver(live, key, actor="test") == 0


def _work(tx: Tx) -> tuple[int, int]:
    return len(tx.jobs.of_kind(DELIVER_PROFILES)), tx.commands.count_pending()


class TestSignatures:
    @pytest.fixture
    def openssl(self, tmp_path: Path) -> Callable[..., tuple[int, bytes, str]]:
        """Verifies a signed profile from a root that it is given: the exit code, the content, and what it says."""
        if shutil.which("openssl") is None:
            pytest.skip("no openssl command here to verify with")

        def verify(signed: bytes, root: x509.Certificate, *options: str) -> tuple[int, bytes, str]:
            (tmp_path / "signed").write_bytes(signed)
            (tmp_path / "root.pem").write_bytes(certificates.pem(root))
            command = ["openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", "signed", "-CAfile", "root.pem"]
            command += ["-attime", str(int(NOW.timestamp())), "-out", "profile", *options]
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
            return done.returncode, (tmp_path / "profile").read_bytes() if not done.returncode else b"", done.stderr

        return verify

    @pytest.mark.parametrize(
        ("signer", "imported", "options"),
        [
            (Signer.OWN, None, ()),
            (Signer.HTTPS, None, ("-purpose", "any")),
            (Signer.IMPORTED, lambda pki: pki.signer(), ()),
            (Signer.IMPORTED, lambda pki: make("EC Signer", pki.ca, pki.ec, NOW, MAIL), ()),
            (Signer.IMPORTED, lambda pki: pki.signer("Application", CODE, MARK), ("-purpose", "any", "-ignore_critical")),
        ],
        ids=["own", "https", "RSA", "EC", "Developer ID"],
    )
    async def test_openssl_verifies_each_from_the_root_alone_and_devices_show_it_as_verified(
        self,
        live: Live,
        pki: PKI,
        openssl: Callable[..., tuple[int, bytes, str]],
        signer: Signer,
        imported: Callable[[PKI], Identity] | None,
        options: tuple[str, ...],
    ) -> None:
        if imported is not None:
            await bring(live, imported(pki))
        root = pki.root.certificate if imported is not None else _root(live)
        pair = await signing.pair_of(live, signer)
        signed = signing.sign_file(PLAIN, pair, None, NOW)
        code, content, told = openssl(signed, root, *options)
        assert (code, content) == (0, PLAIN), told
        assert openssl(signed.replace(b"example.empty", b"example.other"), root, *options)[0] != 0
        judged = verdict.judge(documents.read(signed), ours=[_root(live)], public=[pki.root.certificate], now=NOW)
        assert (judged.shown, judged.chain[-1]) == (Shown.VERIFIED, root)
        if imported is not None:
            assert verdict.judge(documents.read(signed), ours=[_root(live)], public=[], now=NOW).shown is Shown.UNVERIFIED
        await use(live, signer)
        assert openssl(await fetch(live), root, *options)[0] == 0

    def test_a_signature_by_what_may_not_sign_is_not_shown_as_verified(self, pki: PKI) -> None:
        mute = pki.signer("Mute", key_usage(key_encipherment=True))
        signed = sign(PLAIN, certificate=mute.certificate, key=mute.key, chain=mute.above[:1], now=NOW)
        judged = verdict.judge(documents.read(signed), ours=[pki.root.certificate], public=[], now=NOW)
        assert (judged.shown, "allows no signatures" in judged.why) == (Shown.UNVERIFIED, True)

    async def test_without_a_name_the_chosen_one(self, live: Live) -> None:
        await use(live, Signer.HTTPS)
        assert (await signing.pair_of(live, None)).certificate == live.current().https.certificate
