"""An authority below two CAs, made once."""

from __future__ import annotations

import pytest

from tests.pki.timestamps.authority import Signer, make_signer


@pytest.fixture(scope="session")
def signer() -> Signer:
    root = make_signer("Timestamp Root", ca=True)
    return make_signer(below=make_signer("Timestamp CA", below=root, ca=True))
