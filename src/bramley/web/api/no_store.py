"""Answers that tell a secret."""

from __future__ import annotations

from typing import TypeVar

from litestar import Response

Told = TypeVar("Told")


def no_store(told: Told) -> Response[Told]:
    """An answer that nothing on the way may keep, nor whoever asked (RFC 9111 5.2.2.5)."""
    return Response(told, headers={"Cache-Control": "no-store"})
