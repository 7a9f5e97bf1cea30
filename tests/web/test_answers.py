"""No error of ours, present or future, can make a device un-enroll."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

import pytest

import bramley
from bramley.errors import BramleyError
from bramley.mdm.errors import NotOffered, Refusal, Refused
from bramley.web import answers
from tests.web.world import CHECKIN, World

HARMLESS = {400, 404, 410, 413, 429, 500, 503}


def every_error(root: type[BramleyError] = BramleyError) -> Iterator[type[BramleyError]]:
    yield root
    for kind in root.__subclasses__():
        yield from every_error(kind)


def test_every_error_of_every_package_has_a_harmless_answer_for_devices() -> None:
    for module in pkgutil.walk_packages(bramley.__path__, "bramley."):
        if not module.name.endswith("__main__") and ".migrations" not in module.name:
            importlib.import_module(module.name)
    kinds = set(every_error())
    assert len(kinds) > 50

    for kind in kinds:
        error = kind.__new__(kind)
        error.message = error.advice = "words"
        if isinstance(error, NotOffered):
            error.kind = "GetToken"
        for explain in (answers.for_device, answers.for_person):
            response = explain(error)

            assert response.status in HARMLESS, kind
            assert b"com.apple" not in response.body


@pytest.mark.parametrize("kind", ["GetToken", "UserAuthenticate", "DeclarativeManagement", "SetBootstrapToken", "unheard-of"])
def test_whatever_is_not_offered_is_harmless(kind: str) -> None:
    assert answers.device_status(NotOffered(kind)) in HARMLESS


def test_the_tables_hold_no_401_and_no_403() -> None:
    statuses = {*answers.DEVICE_STATUSES.values(), *answers.NOT_OFFERED_STATUSES.values()}

    assert statuses <= HARMLESS


def test_what_a_refusal_says_does_not_reach_the_device() -> None:
    response = answers.for_device(Refused(Refusal.REVOKED, "The identity certificate is revoked."))

    assert (response.status, response.body) == (400, b"")


def test_the_unforeseen_is_500_without_words() -> None:
    assert answers.for_device(KeyError("secret")).body == b""
    assert b"secret" not in answers.for_person(KeyError("secret")).body


@pytest.mark.parametrize("header", ["Bearer nonsense", "Basic Og==", ""])
@pytest.mark.parametrize("path", ["/mdm/checkin", "/mdm/connect", "/scep?operation=PKIOperation", "/enroll/x", "/pki/root.cer"])
async def test_no_device_path_asks_for_credentials(world: World, path: str, header: str) -> None:
    for method in ("GET", "PUT", "POST"):
        answer = await world.http.request(
            method, path, content=b"x", headers={"Authorization": header, "Content-Type": CHECKIN, "Mdm-Signature": "x"}
        )

        assert answer.status_code not in {401, 403}
        assert "www-authenticate" not in answer.headers
