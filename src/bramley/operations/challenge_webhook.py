"""The webhook that decides whether a first SCEP request with an unknown challenge is let in.

It is asked with a POST of JSON over HTTPS. `X-Bramley-Timestamp` is the moment in seconds since 1970, and
`X-Bramley-Signature` the HMAC-SHA256 (RFC 2104), in hexadecimal, of that number, a full stop and the body, under
`scep.webhook_secret`. Nothing but status 200 with `{"allow": true}` lets anybody in.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import datetime
from pathlib import Path
from typing import Final

from bramley.apple.errors import ServiceTrouble
from bramley.apple.http import HTTP, exchange
from bramley.operations.issuing import NotEntitled
from bramley.pki import keys, names
from bramley.pki.scep.messages import Request
from bramley.settings import SCEP

_SECONDS: Final = 5.0
_LARGEST: Final = 16 * 1024
_LABEL: Final = 200


async def ask(scep: SCEP, request: Request, now: datetime) -> str:
    """The label that the webhook gives, empty for none. NotEntitled for every answer but a clear yes, and for none."""
    content = body(request)
    moment = str(int(now.timestamp()))
    headers = {
        "Content-Type": "application/json",
        "X-Bramley-Timestamp": moment,
        "X-Bramley-Signature": signature(scep.webhook_secret, moment, content),
    }
    try:
        http = HTTP(ca_pem=_roots(scep.webhook_ca_file), seconds=_SECONDS)
        answer = await exchange(http, "POST", scep.webhook_url, headers=headers, limit=_LARGEST, content=content)
    except ServiceTrouble as trouble:
        raise _refused(f"it could not be asked: {trouble.message}") from trouble
    except OSError as error:
        raise _refused(f"scep.webhook_ca_file cannot be read: {error.strerror}") from error
    if answer.status != 200:
        raise _refused(f"it answered with status {answer.status}")
    return _label(answer.body)


def _roots(file: str) -> bytes | None:
    return Path(file).read_bytes() if file else None


def body(request: Request) -> bytes:
    """What it is asked: the transaction, the names that the client would like to have, its key, and its challenge."""
    said = {
        "transaction": request.transaction_id,
        "subject": names.text(request.csr.subject),
        "sans": [f"{type(name).__name__}:{name.value}" for name in request.csr.sans],
        "spki_sha256": keys.spki_sha256(request.csr.public_key),
        "challenge": request.challenge,
    }
    return json.dumps(said).encode()


def signature(secret: str, moment: str, content: bytes) -> str:
    """What shows the webhook that the question is ours, and when it was asked."""
    return hmac.new(secret.encode(), moment.encode() + b"." + content, hashlib.sha256).hexdigest()


def _label(answer: bytes) -> str:
    try:
        said = json.loads(answer)
    except (ValueError, RecursionError):  # ValueError also for bytes that are no text
        raise _refused("it answered with what is not JSON") from None
    if not isinstance(said, dict) or said.get("allow") is not True:
        raise _refused("it did not allow it")
    label = said.get("label", "")
    if not isinstance(label, str) or len(label) > _LABEL or not label.isprintable():
        raise _refused(f"it gave a label that is not printable text of at most {_LABEL} characters")
    return label


def _refused(why: str) -> NotEntitled:
    return NotEntitled("webhook-refused", f"The webhook was asked about the request; {why}.")
