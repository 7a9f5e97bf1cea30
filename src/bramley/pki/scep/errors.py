"""What can go wrong in SCEP (RFC 8894), on either side."""

from __future__ import annotations

from typing import ClassVar

from bramley.pki.errors import PKIError
from bramley.pki.scep.messages import FailInfo, Transaction


class SCEPError(PKIError):
    """The root of everything that this package raises on purpose.

    On the server, `transaction` and `fail_info` come together: both are there when the outer signature held, and a CertRep
    FAILURE can be made of them; otherwise both are None, nobody is known to answer to, and the answer is HTTP 400.
    """

    reason: ClassVar[FailInfo] = FailInfo.badRequest

    def __init__(self, message: str, *, transaction: Transaction | None = None, advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.transaction = transaction
        self.fail_info: FailInfo | None = None if transaction is None else self.reason


class MalformedMessage(SCEPError):
    """Not a pkiMessage, or one that lacks what RFC 8894 section 3.2 demands."""


class MessageTypeRefused(SCEPError):
    """A messageType that no client may send us: UpdateReq, CertRep, and whatever RFC 8894 does not know."""


class WrongRecipient(SCEPError):
    """The message is encrypted for another certificate than ours (badCertId: none of ours fits)."""

    reason = FailInfo.badCertId


class BadProof(SCEPError):
    """The outer signature does not hold (no transaction), or what is inside does not prove possession of its key."""

    reason = FailInfo.badMessageCheck


class AlgorithmRefused(SCEPError):
    """A digest, cipher or key that is too weak or of no use here."""

    reason = FailInfo.badAlg


class ResponderExpired(SCEPError):
    """Our own SCEP certificate is not valid now: no client could accept an answer. Ours to repair, not the client's."""


class WrongCertificate(SCEPError):
    """We were about to send a certificate for another key than the one that was certified on request."""


class BadReply(SCEPError):
    """A CA's answer that is malformed, or that is not the CA's answer to what we sent."""


class Pending(SCEPError):
    """The CA wants to decide later (CertRep PENDING); nothing was issued."""


class Refused(SCEPError):
    """The CA said no (CertRep FAILURE); `fail_info` and `text` say why, as far as it told."""

    def __init__(self, fail_info: FailInfo | None, text: str | None) -> None:
        name = "no reason" if fail_info is None else fail_info.name
        shown = "" if text is None else f": {text[:200]!r}"
        super().__init__(
            f"Expected a certificate; the CA refused with {name}{shown}.",
            advice="Most often the challenge is spent or wrong: ask for a new one.",
        )
        self.fail_info = fail_info
        self.text = text
