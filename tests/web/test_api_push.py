"""Push certificates through the API: what comes in, what is refused, and how either is told."""

from __future__ import annotations

import base64
import importlib
import pkgutil
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from structlog.testing import capture_logs

import bramley.apple.push_certificate
import bramley.pki
from bramley.apple.push_certificate import PushCertificateError
from bramley.errors import BramleyError
from bramley.model.events import EventKind
from bramley.operations import pushing
from bramley.operations.errors import LinkUnusable, OperationError
from bramley.operations.push import requests, vendor
from bramley.pki import certificates, csr, keys, names, pkcs12
from bramley.pki.errors import PKIError
from bramley.pki.pkcs12 import Bundle
from bramley.sandbox.apple_ca import SandboxAppleCA, new_topic
from bramley.sandbox.portals import MdmcertServer, SandboxApple
from bramley.settings.tree import Apple, Mdmcert
from bramley.web import answers
from bramley.web.api.requests import PushImportBody
from tests.jobs.kit import enroll
from tests.web.push import CERTIFICATES, PUSH, Maker, call, configure, key_pem, stored, through_api, through_nanomdm
from tests.web.world import TOPIC, World

ACCOUNT = "mdm@orchard.example"
ASKED = {"route": "vendor", "account": ACCOUNT, "email": ACCOUNT}


@pytest.fixture
def maker(apple: SandboxAppleCA, world: World, push_key: keys.PrivateKey) -> Maker:
    return Maker(apple, world, push_key)


@pytest.fixture
def portals(apple: SandboxAppleCA, world: World, tmp_path: Any) -> SandboxApple:
    """Apple's portals, whose root the server takes for Apple's."""
    roots = tmp_path / "roots.pem"
    roots.write_bytes(apple.root_pem)
    configure(world, apple=Apple(roots_file=str(roots)))
    made = SandboxApple(apple, world.clock)
    made.identity.sign_up(ACCOUNT)
    made.developer.sign_up(ACCOUNT, organization="Orchard", enterprise=True)
    return made


async def topics(world: World) -> dict[str | None, dict[str, Any]]:
    return {each["topic"]: each for each in await call(world, "GET", "/certificates")}


async def become_vendor(world: World, portals: SandboxApple) -> None:
    asked = await vendor.ask(world.installation, account=ACCOUNT, email=ACCOUNT, actor="cli")
    issued = portals.developer.issue_vendor(ACCOUNT, asked.request.public_bytes(Encoding.PEM))
    chain = portals.ca.vendor_chain(certificates.load(issued))[1:]
    await vendor.import_certificate(world.installation, certificates.load(issued), None, cas=chain, fetch=False, actor="cli")


class TestImport:
    async def test_what_is_in_force_on_trial_and_asked_for_is_listed_with_whose_turn_it_is(
        self, world: World, maker: Maker
    ) -> None:
        await enroll(world.installation, TOPIC, 2)
        await enroll(world.installation, "com.apple.mgmt.External.stray", 1, first=10)
        before = (await topics(world))[TOPIC]
        told = (await through_api(world, maker.files(), account=f" {ACCOUNT} ", route="vendor")).json()

        found = await topics(world)

        assert before["active"]["not_after"] == "2027-11-01T00:00:00Z"
        assert (before["devices"], before["on_trial"], before["account"]) == (2, None, "")
        assert told["on_trial"] is True
        assert found[TOPIC]["active"] == before["active"]
        assert found[TOPIC]["on_trial"]["sha256"] == told["sha256"]
        assert found[TOPIC]["on_trial"]["id"] == told["id"]
        assert (found[TOPIC]["account"], found[TOPIC]["route"]) == (ACCOUNT, "vendor")
        assert found[TOPIC]["next"]["mover"] == "server"
        assert found["com.apple.mgmt.External.stray"]["devices"] == 1
        assert found["com.apple.mgmt.External.stray"]["active"] is None

    async def test_where_nobody_listens_it_is_in_force_at_once(self, world: World, maker: Maker) -> None:
        answer = await through_api(world, maker.files()[::-1])

        told = answer.json()
        assert answer.status_code == 201
        assert (told["topic"], told["state"], told["on_trial"], told["dry_run"]) == (TOPIC, "active", False, False)
        assert told["not_after"] == "2027-11-24T12:00:00Z"
        assert (await topics(world))[TOPIC]["active"]["sha256"] == told["sha256"]
        (event, *_) = await world.events(EventKind.CERTIFICATE_IMPORTED)
        assert event.actor == "admin:first"

    async def test_a_dry_run_says_the_same_and_changes_nothing(self, world: World, maker: Maker) -> None:
        before = await stored(world)
        files = maker.files()

        dry = await through_api(world, files, dry_run=True, account=ACCOUNT)

        assert dry.status_code == 200
        assert await stored(world) == before
        wet = (await through_api(world, files)).json()
        assert dry.json() == {**wet, "id": None, "state": None, "dry_run": True}

    @pytest.mark.parametrize("form", ["pkcs12", "encrypted", "der"])
    async def test_it_comes_in_any_form_and_neither_key_nor_password_is_told(self, world: World, maker: Maker, form: str) -> None:
        certificate, password = maker.certificate(), "correct horse"
        files = {
            "pkcs12": [pkcs12.write(Bundle(maker.key, certificate), password)],
            "encrypted": [key_pem(maker.key, password), certificates.pem(certificate)],
            "der": [certificates.der(certificate), keys.to_pkcs8(maker.key)],
        }[form]

        with capture_logs() as logs:
            done = await through_api(world, files, password=password)
            wrong = await through_api(world, files, password="wrong horse")
            listed = await world.http.get(CERTIFICATES, headers=world.as_admin)
            events = await world.http.get("/api/v1/events?limit=1000", headers=world.as_admin)

        assert done.status_code == 201
        assert wrong.status_code == 400
        key = base64.b64encode(keys.to_pkcs8(maker.key)).decode()[40:80]
        for text in (done.text, wrong.text, listed.text, events.text, str(logs)):
            assert "horse" not in text
            assert key not in text

    async def test_the_number_of_devices_left_behind_has_to_be_said(self, world: World, maker: Maker) -> None:
        await enroll(world.installation, TOPIC, 3)
        files = maker.files(new_topic())
        before = await stored(world)

        for terms in ({}, {"other_devices": 2}, {"other_devices": 0}, {"other_devices": 4}):
            answer = await through_api(world, files, **terms)
            assert answer.status_code == 409
            assert "3 enrolled device(s)" in answer.json()["error"]
            assert "choose Renew, not Create" in answer.json()["advice"]
            assert await stored(world) == before

        assert (await through_api(world, files, other_devices=3)).status_code == 201

    @pytest.mark.parametrize("door", [through_api, through_nanomdm])
    async def test_no_door_lets_another_topic_in(self, world: World, maker: Maker, door: Callable[..., Any]) -> None:
        await enroll(world.installation, TOPIC, 1)
        before = await stored(world)

        answer = await door(world, maker.files(new_topic()))

        assert answer.status_code == 409
        assert await stored(world) == before
        assert (await door(world, maker.files())).is_success

    @pytest.mark.parametrize(
        ("case", "word"),
        [
            ("swapped", "another key"),
            ("html", "a web page"),
            ("no key", "and no key"),
            ("key alone", "a key alone"),
            ("two keys", "different ones"),
            ("vendor", "vendor certificate"),
            ("expired", "expired on"),
            ("broken", "that are neither"),
            ("empty", "holds nothing"),
        ],
    )
    async def test_what_cannot_push_is_400_and_changes_nothing(
        self, world: World, maker: Maker, device_keys: list[keys.PrivateKey], case: str, word: str
    ) -> None:
        certificate, key = maker.files()
        now = world.clock.now()
        expired = maker.ca.issue_push_certificate(maker.key.public_key(), topic=TOPIC, now=now - timedelta(days=400))
        vendors = maker.ca.issue_vendor_certificate(maker.key.public_key(), organization="Orchard", now=now)
        broken = certificates.der(maker.certificate()).replace(b"\x17\x0d2611", b"\x17\x0d26??")  # its notBefore
        files: dict[str, list[bytes]] = {
            "swapped": [certificate, key_pem(device_keys[0])],
            "html": [b"<!doctype html><html><body>Sign in</body></html>", key],
            "no key": [certificate],
            "key alone": [key],
            "two keys": [certificate, key, key_pem(device_keys[0])],
            "vendor": [certificates.pem(vendors), key],
            "expired": [certificates.pem(expired), key],
            "broken": [broken, key],
            "empty": [b""],
        }
        before = await stored(world)

        answer = await through_api(world, files[case])

        assert answer.status_code == 400
        assert word in answer.json()["error"]
        assert key.splitlines()[1].decode() not in answer.text
        assert await stored(world) == before

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"files": []},
            {"files": ["AA=="] * 5},
            {"files": ["no base64 §"]},
            {"files": ["A" * (1024 * 1024 // 3 * 4 + 8)]},
            {"files": ["AA=="], "force": True},
            {"files": ["AA=="], "other_devices": -1},
            {"files": ["AA=="], "other_devices": "all"},
            {"files": ["AA=="], "account": "a\x00b"},
            {"files": ["AA=="], "route": "by mail"},
            {"files": ["AA=="], "password": "secret" * 1000},
            ["AA=="],
        ],
    )
    async def test_a_body_that_makes_no_sense_is_400_and_repeats_no_password(self, world: World, body: object) -> None:
        answer = await world.http.post(CERTIFICATES, json=body, headers=world.as_admin)

        assert answer.status_code == 400
        assert answer.json()["error"]
        assert "secret" not in answer.text

    async def test_fifty_megabytes_are_413(self, world: World) -> None:
        assert (await through_api(world, [b"x" * 37_500_000])).status_code == 413

    def test_a_body_shows_neither_password_nor_key(self) -> None:
        assert repr(PushImportBody(files=["a2V5"], password="secret")) == "PushImportBody(1 files)"


@pytest.mark.parametrize("header", [None, "Bearer bramley_wrong", "Basic TOKEN"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/certificates"),
        ("POST", "/certificates"),
        ("POST", "/certificates/rollback"),
        ("POST", "/requests"),
        ("POST", "/requests/sign"),
        ("POST", "/vendor/sign"),
        ("POST", "/mdmcert"),
        ("POST", "/mdmcert/answer"),
        ("POST", "/resume"),
        ("PUT", "/account"),
        ("GET", "/rescue"),
        ("POST", "/waves"),
        ("GET", "/waves"),
        ("GET", "/waves/x"),
        ("POST", "/waves/x/stop"),
        ("POST", "/waves/x/resume"),
    ],
)
async def test_without_a_known_token_nobody_gets_in(world: World, method: str, path: str, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header.replace("TOKEN", world.admin_token)}

    answer = await world.http.request(method, PUSH + path, json={}, headers=headers)

    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


class TestRequests:
    async def test_by_a_vendor_certificate_of_ones_own(self, world: World, portals: SandboxApple) -> None:
        await become_vendor(world, portals)
        asked = await call(world, "POST", "/requests", {**ASKED, "further": True}, 201)
        again = await call(world, "POST", "/requests", {**ASKED, "further": True}, 200)
        signed = await call(world, "POST", "/requests/sign", {})
        waiting = (await topics(world))[None]
        issued = portals.identity.create(ACCOUNT, base64.b64decode(signed["file"]))

        done = (await through_api(world, [certificates.pem(issued)])).json()

        assert (asked["topic"], asked["found"], again["found"]) == (None, False, True)
        assert x509.load_pem_x509_csr(asked["csr"].encode()).is_signature_valid
        assert (again["csr"], again["id"], signed["topic"]) == (asked["csr"], asked["id"], None)
        assert asked["next"]["mover"] == waiting["next"]["mover"] == "human"
        assert (waiting["requested"]["id"], waiting["requested"]["state"]) == (asked["id"], "awaiting")
        assert (done["id"], done["state"]) == (asked["id"], "active")
        assert done["topic"] == portals.identity.list(ACCOUNT)[0].topic
        assert (await topics(world))[done["topic"]]["account"] == ACCOUNT

    async def test_a_renewal_names_its_topic(self, world: World) -> None:
        asked = await call(world, "POST", "/requests", {**ASKED, "topic": TOPIC}, 201)

        anew = await call(world, "POST", "/requests", {**ASKED, "new_key": True}, 201)

        assert (asked["topic"], anew["topic"]) == (TOPIC, TOPIC)
        assert anew["csr"] != asked["csr"]

    @pytest.mark.parametrize("form", ["pem", "der"])
    async def test_a_vendor_signs_for_others(
        self, world: World, portals: SandboxApple, push_key: keys.PrivateKey, form: str
    ) -> None:
        await become_vendor(world, portals)
        request = csr.build(push_key, names.make("Another organization"))
        der = x509.load_der_x509_csr(request)
        shown = der.public_bytes(Encoding.PEM).decode() if form == "pem" else base64.b64encode(request).decode()

        signed = await call(world, "POST", "/vendor/sign", {"csr": shown})

        issued = portals.identity.create(ACCOUNT, base64.b64decode(signed["file"]))
        assert keys.spki(issued.public_key()) == keys.spki(push_key.public_key())  # type: ignore[arg-type]  # RSA
        (event,) = await world.events(EventKind.PUSH_REQUEST_SIGNED)
        assert event.actor == "admin:first"

    @pytest.mark.parametrize(
        ("path", "body", "status"),
        [
            ("/requests", {"route": "vendor", "email": ACCOUNT}, 400),
            ("/requests", {**ASKED, "route": "by mail"}, 400),
            ("/requests", {**ASKED, "country": "USA"}, 400),
            ("/requests", {**ASKED, "country": "1!"}, 400),
            ("/requests", {**ASKED, "topic": "com.apple.mgmt.External.none"}, 404),
            ("/requests", {**ASKED, "topic": TOPIC, "further": True}, 400),
            ("/requests", {**ASKED, "key": "x"}, 400),
            ("/requests/sign", {}, 404),
            ("/vendor/sign", {"csr": "***"}, 400),
            ("/vendor/sign", {"csr": "AA=="}, 400),
            ("/vendor/sign", {"csr": "-----BEGIN CERTIFICATE REQUEST-----"}, 400),
            ("/vendor/sign", {"csr": "A" * 70_000}, 400),
            ("/mdmcert", {"email": ACCOUNT}, 404),
            ("/mdmcert/answer", {"answer": "00"}, 503),
            ("/mdmcert/answer", {"answer": ""}, 400),
        ],
    )
    async def test_what_cannot_be_is_refused_and_changes_nothing(
        self, world: World, path: str, body: object, status: int
    ) -> None:
        before = await stored(world)

        told = await call(world, "POST", path, body, status)

        assert told["error"]
        assert await stored(world) == before

    async def test_without_a_vendor_certificate_nothing_is_signed(self, world: World, push_key: keys.PrivateKey) -> None:
        await call(world, "POST", "/requests", ASKED, 201)
        request = base64.b64encode(csr.build(push_key, names.make("Another"))).decode()
        before = await stored(world)

        for path, body in (("/requests/sign", {}), ("/vendor/sign", {"csr": request})):
            told = await call(world, "POST", path, body, 503)
            assert "no vendor certificate" in told["error"]
            assert told["advice"]

        assert await stored(world) == before


class TestMdmcert:
    @pytest.fixture
    async def service(self, world: World, portals: SandboxApple, tmp_path: Any) -> AsyncIterator[MdmcertServer]:
        """mdmcert.download, which knows this server."""
        made = MdmcertServer(portals.ca, portals.mdmcert.answer)
        await made.start(certificate_from=datetime.now(UTC))
        portals.mdmcert.register(ACCOUNT)
        key = portals.mdmcert.client_key("bramley")
        configure(world, mdmcert=Mdmcert(url=made.url, client_key=key, ca_file=str(tmp_path / "roots.pem")))
        yield made
        await made.stop()

    async def test_the_request_goes_out_and_the_mail_becomes_a_file_for_apple(
        self, world: World, portals: SandboxApple, service: MdmcertServer
    ) -> None:
        asked = await call(world, "POST", "/requests", {**ASKED, "route": "mdmcert.download", "further": True}, 201)
        sent = await call(world, "POST", "/mdmcert", {"email": ACCOUNT}, 202)
        (mail,) = portals.mdmcert.mail(ACCOUNT)

        opened = await call(world, "POST", "/mdmcert/answer", {"answer": mail.body})

        assert (sent["id"], sent["topic"], opened["topic"]) == (asked["id"], None, None)
        issued = portals.identity.create(ACCOUNT, base64.b64decode(opened["file"]))
        assert (await through_api(world, [certificates.pem(issued)])).json()["id"] == asked["id"]

    async def test_its_refusal_is_400_with_its_words_and_no_client_key(
        self, world: World, portals: SandboxApple, service: MdmcertServer
    ) -> None:
        await call(world, "POST", "/requests", {**ASKED, "route": "mdmcert.download"}, 201)

        with capture_logs() as logs:
            told = await call(world, "POST", "/mdmcert", {"email": "nobody@orchard.example"}, 400)
            garbage = await call(world, "POST", "/mdmcert/answer", {"answer": "no hexadecimal"}, 400)

        assert "not registered" in told["error"]
        assert garbage["error"]
        assert portals.mdmcert.client_key("bramley") not in f"{told} {garbage} {logs}"

    async def test_a_service_that_is_not_there_is_503(self, world: World, service: MdmcertServer) -> None:
        await call(world, "POST", "/requests", {**ASKED, "route": "mdmcert.download"}, 201)
        await service.stop()

        assert (await call(world, "POST", "/mdmcert", {"email": ACCOUNT}, 503))["error"]
        opened = await requests.opened(world.installation, None)
        assert opened.version.state == "planned"  # asking again is harmless

    async def test_without_a_client_key_nothing_is_sent(self, world: World) -> None:
        await call(world, "POST", "/requests", {**ASKED, "route": "mdmcert.download"}, 201)

        assert "client key" in (await call(world, "POST", "/mdmcert", {"email": ACCOUNT}, 503))["error"]


class TestKeeping:
    async def test_a_certificate_on_trial_is_dropped_and_one_in_force_gives_way_to_the_former(
        self, world: World, maker: Maker
    ) -> None:
        first = (await topics(world))[TOPIC]["active"]["id"]
        second = (await through_api(world, maker.files())).json()["id"]
        back = await call(world, "POST", "/certificates/rollback", {"reason": "pushes fail"})
        assert (back["id"], back["state"], back["reason"]) == (first, "active", "pushes fail")
        assert second != first

        await enroll(world.installation, TOPIC, 1)
        world.clock.moment += timedelta(days=1)
        assert (await through_api(world, maker.files())).json()["on_trial"] is True
        kept = await call(world, "POST", "/certificates/rollback", {"reason": "wrong one", "topic": TOPIC})
        assert kept["id"] == first
        assert (await topics(world))[TOPIC]["on_trial"] is None

    @pytest.mark.parametrize(
        ("method", "path", "body", "status"),
        [
            ("POST", "/certificates/rollback", {"reason": "x"}, 409),
            ("POST", "/certificates/rollback", {"reason": ""}, 400),
            ("POST", "/certificates/rollback", {"reason": "x", "topic": "none"}, 404),
            ("POST", "/resume", {}, 409),
            ("POST", "/resume", {"topic": "none"}, 404),
            ("PUT", "/account", {"account": "  "}, 400),
            ("PUT", "/account", {"account": "a" * 256}, 400),
            ("PUT", "/account", {"account": "a", "topic": "none"}, 404),
            ("GET", "/rescue?topic=none", None, 404),
            ("GET", "/rescue?told=bored", None, 400),
        ],
    )
    async def test_what_is_not_possible_is_said_and_changes_nothing(
        self, world: World, method: str, path: str, body: object, status: int
    ) -> None:
        before = await stored(world)

        assert (await call(world, method, path, body, status))["error"]

        assert await stored(world) == before

    async def test_a_paused_topic_is_told_and_tried_again(self, world: World) -> None:
        now = world.clock.now()
        await world.installation.store.run(lambda tx: pushing.pause(tx, TOPIC, "BadCertificate", now=now))
        assert (await topics(world))[TOPIC]["paused"] == "BadCertificate"

        assert await call(world, "POST", "/resume", {}, 202) == {"topic": TOPIC}

        assert [job.args for job in await world.installation.store.read(lambda tx: tx.jobs.of_kind("push-trial"))] == [
            {"topic": TOPIC}
        ]

    async def test_the_account_is_noted(self, world: World) -> None:
        noted = await call(world, "PUT", "/account", {"account": f" {ACCOUNT} "})

        assert noted == {"topic": TOPIC, "account": ACCOUNT, "route": ""}
        assert (await topics(world))[TOPIC]["account"] == ACCOUNT

    async def test_the_way_out_names_every_device_that_depends_on_it(self, world: World) -> None:
        await enroll(world.installation, TOPIC, 2)
        (sound,) = await call(world, "GET", "/rescue")
        world.clock.moment += timedelta(days=400)
        (lapsed,) = await call(world, "GET", f"/rescue?topic={TOPIC}")
        (lost,) = await call(world, "GET", "/rescue?told=topic-lost")

        assert (sound["trouble"], sound["steps"]) == ("none", [])
        assert (lapsed["trouble"], lapsed["topic"]) == ("lapsed", TOPIC)
        assert any("Renew" in step for step in lapsed["steps"])
        assert lost["trouble"] == "topic-lost"
        assert [each["id"] for each in lost["devices"]] == ["udid 0", "udid 1"]
        assert {each["enrolled_by"] for each in lost["devices"]} == {"device enrollment"}


def test_every_error_on_the_way_of_a_push_certificate_has_an_answer() -> None:
    for package in (bramley.apple.push_certificate, bramley.pki):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)

    def tree(root: type[BramleyError]) -> set[type[BramleyError]]:
        return {root}.union(*(tree(kind) for kind in root.__subclasses__()))

    kinds = tree(PushCertificateError) | tree(OperationError)
    kinds |= {kind for kind in tree(PKIError) if kind.__module__ == "bramley.pki.errors"}
    roots = {PushCertificateError, OperationError, PKIError}  # never raised themselves

    wrong = {kind for kind in kinds if answers.operator_status(kind.__new__(kind)) not in {400, 404, 409, 503}}

    assert wrong == roots | {LinkUnusable}  # which devices alone meet
    assert len(kinds) > 40
