"""A SCEP transport over an HTTP client, for tests that bring a client of their own."""

from __future__ import annotations

from dataclasses import dataclass

import httpx2


@dataclass(frozen=True, slots=True)
class SCEPOverHTTP:
    """To the SCEP URL of one server; anything but 200 fails the test."""

    http: httpx2.AsyncClient

    async def get(self, query: str) -> tuple[str, bytes]:
        return _good(await self.http.get(f"/scep?{query}"))

    async def post(self, query: str, body: bytes) -> tuple[str, bytes]:
        return _good(await self.http.post(f"/scep?{query}", content=body))


def _good(response: httpx2.Response) -> tuple[str, bytes]:
    assert response.status_code == 200, response.text
    return response.headers["content-type"], response.content
