"""What is secret is shown by no object that holds it: not in a log, not in a traceback, not in the words of a failed test.

Every dataclass and every body and view of the API is looked at, so that one that comes to be tomorrow is, too.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

import bramley

SECRET: Final = re.compile(
    r"(?:^|_)(?:pin|password|secrets?|challenge|token|magic|recovery_key|archive|static_challenge|client_key)$"
)
"""Names that say what they hold."""

IN_CLEAR: Final = re.compile(r"\b(?:str|bytes)\b|PrivateKey\b")
"""Types that a secret has: neither a switch that is called `pin`, nor the record of a challenge, which holds its digest."""

FURTHER: Final = {
    "bramley.apple.http.Answer": "body",
    "bramley.apple.push.exchange.Request": "url body",  # the push token and magic
    "bramley.apple.push.notification.PushTarget": "proxy",
    "bramley.apple.http.HTTP": "proxy",
    "bramley.cli.verbs.Invocation": "database",
    "bramley.mdm.answer.Answer": "body",
    "bramley.mdm.commands.answers.Told": "content",
    "bramley.mdm.commands.profiles.InstallProfile": "payload",
    "bramley.mdm.commands.requests.Raw": "command",
    "bramley.mdm.messages.Unknown": "raw",
    "bramley.mdm.report.Report": "raw secrets",
    "bramley.operations.enrolling.CreatedLink": "url",
    "bramley.operations.enrollment_profiles.ByChallenge": "profile",
    "bramley.operations.enrollment_profiles.ByPKCS12": "frame",
    "bramley.operations.escrow.Revealed": "text",
    "bramley.operations.network.sending.Parcel": "profile",
    "bramley.operations.profiles.delivery._Made": "message",
    "bramley.operations.profiles.making.Recipe": "content",
    "bramley.pki.cms.enveloped.Decrypted": "content",
    "bramley.pki.cms.signed.VerifiedSignature": "content",
    "bramley.pki.cms.signed_data.SignedData": "content",
    "bramley.pki.csr.CertificateRequest": "der",
    "bramley.pki.pieces.Piece": "content",
    "bramley.pki.scep.requests.Envelope": "content",
    "bramley.profiles.documents.Document": "raw content",
    "bramley.profiles.former.FormerProfile": "content",
    "bramley.profiles.network.Template": "payloads",
    "bramley.profiles.network_profile.FurtherPayload": "content",
    "bramley.profiles.rules.keys.Context": "profile payloads",
    "bramley.rehearsal.push_cycle.ways.Delivery": "files",
    "bramley.sandbox.device.profile.Profile": "content",
    "bramley.sandbox.device.transport.Call": "headers body",
    "bramley.settings.tree.Settings": "database",
    "bramley.web.api.enrollment.LinkView": "url",
    "bramley.web.api.network_templates.TemplateBody": "template",
    "bramley.web.api.profiles.ProfileBody": "profile",
    "bramley.web.api.requests.CommandBody": "keys payload plist",
    "bramley.web.api.requests.PushImportBody": "files",
    "bramley.web.asgi.Response": "body",
}
"""Fields that hold secrets among other things, or may."""

SEALED: Final = {"bramley.model.enrollments.Enrollment": "unlock_token bootstrap_token"}
"""Fields that say so and hold what only the key-encryption key opens."""


def kinds() -> Iterator[type]:
    """Every class of data in Bramley."""
    for module in pkgutil.walk_packages(bramley.__path__, "bramley."):
        if not module.name.endswith("__main__") and ".migrations" not in module.name:
            importlib.import_module(module.name)
    for name in sorted(name for name in sys.modules if name.startswith("bramley.")):
        for each in vars(sys.modules[name]).values():
            is_data = isinstance(each, type) and (dataclasses.is_dataclass(each) or issubclass(each, msgspec.Struct))
            if is_data and each.__module__ == name:
                yield each


def fields(kind: type) -> dict[str, str]:
    """Names of fields, with their types as they are written."""
    if dataclasses.is_dataclass(kind):
        return {each.name: str(each.type) for each in dataclasses.fields(kind)}
    return {
        name: str(written) for each in reversed(kind.__mro__) for name, written in vars(each).get("__annotations__", {}).items()
    }


def shown(kind: Any, names: Iterable[str]) -> set[str]:
    """The names of the fields whose content is in the repr of an object."""
    marks = {name: f"<what is in {name}>" for name in names}
    if issubclass(kind, msgspec.Struct):
        made = kind(**marks)
    else:
        made = object.__new__(kind)  # without what it does to its fields
        for name, mark in marks.items():
            object.__setattr__(made, name, mark)
    return {name for name, mark in marks.items() if mark in repr(made)}


def test_no_object_shows_the_secret_that_it_holds() -> None:
    known = {f"{kind.__module__}.{kind.__qualname__}": kind for kind in kinds()}
    secret, leaks = 0, set()
    for path, kind in known.items():
        written = fields(kind)
        held = {name for name, of in written.items() if (SECRET.search(name) and IN_CLEAR.search(of)) or "PrivateKey" in of}
        held = held.union(FURTHER.get(path, "").split()).difference(SEALED.get(path, "").split())
        assert held <= written.keys(), path
        leaks |= {f"{path}.{name}" for name in shown(kind, written) & held}
        secret += len(held)
    assert leaks == set()
    assert secret > 100
    assert FURTHER.keys() | SEALED.keys() <= known.keys()
