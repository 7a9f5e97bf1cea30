"""Apple's own schema of commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(scope="session")
def schema(apple_schema: Callable[..., Any]) -> Any:
    return apple_schema()
