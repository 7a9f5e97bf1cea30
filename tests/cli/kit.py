"""What tests of the command speak of: a run and its result, and the installation they run on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

URL = "https://mdm.example:8443"
UDID = "11111111-2222-3333-4444-555555555555"


@dataclass(frozen=True, slots=True)
class Result:
    """What a run of the command left: exit code and both streams."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Result]
