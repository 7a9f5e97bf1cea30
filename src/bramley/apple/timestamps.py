"""Asking a timestamp authority over HTTP (RFC 3161 section 3.4): Apple's, or any other.

http:// is what Apple's own tools speak to theirs. What comes is believed for the authority's signature and the nonce in it alone.
"""

from __future__ import annotations

from typing import Final

from bramley.apple.errors import ServiceTrouble
from bramley.apple.http import HTTP, exchange
from bramley.pki import timestamps
from bramley.pki.timestamps import Declined, TimestampError, VerifiedTimestamp

SERVICE_URL: Final = "http://timestamp.apple.com/ts01"
"""Apple's authority."""

_HEADERS: Final = {"Content-Type": timestamps.QUERY_TYPE, "Accept": timestamps.REPLY_TYPE}


async def timestamp(message: bytes, *, url: str, proxy: str | None = None, seconds: float = 30.0) -> VerifiedTimestamp:
    """A timestamp over a message, of which the authority at `url`, http:// or https://, sees no more than the digest.

    Raises ServiceTrouble where none comes, or none that holds.
    """
    asked = timestamps.request(message)
    http = HTTP(proxy=proxy, seconds=seconds, in_clear=True)
    answer = await exchange(http, "POST", url, headers=_HEADERS, content=asked.der, limit=timestamps.LARGEST_ANSWER)
    kind = answer.content_type.partition(";")[0].strip().lower()
    if answer.status != 200 or kind != timestamps.REPLY_TYPE:
        raise ServiceTrouble(
            f"The timestamp authority answered with status {answer.status} and {kind[:80] or 'no type'!r}; "
            f"200 and {timestamps.REPLY_TYPE!r} were expected.",
            advice="Check the address: another server's or a proxy's page may have come.",
        )
    try:
        return timestamps.accept(answer.body, asked)
    except Declined as error:
        raise ServiceTrouble(error.message, advice="Try again later, or ask another authority.") from None
    except TimestampError as error:
        raise ServiceTrouble(
            f"The timestamp authority's answer does not hold. {error.message}", advice="Ask again, or another authority."
        ) from None
