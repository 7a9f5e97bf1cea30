"""/profiles: what is said of encryption, and what is not."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from tests.operations.test_profiles import written
from tests.web.api.test_api import post
from tests.web.world import World


async def test_without_a_word_on_encryption_it_is_as_before(world: World) -> None:
    async def handling(**body: Any) -> str:
        data = b64encode(written(PayloadOrganization=repr(body))).decode()
        kept = await post(world, "/profiles", {"profile": data, **body}, 200)
        return str(kept["profile"]["handling"])

    assert await handling() == "sign"
    assert await handling(encrypt=True) == "encrypt"
    assert await handling(name="Guests") == "encrypt"
    assert await handling(encrypt=False) == "sign"
