"""What can go wrong between no push certificate and one that is fit for use.

Each kind of failure has its own class, since each has its own way out; the way out is in `advice`.
"""

from __future__ import annotations

from bramley.errors import BadInput, BramleyError


class PushCertificateError(BramleyError):
    """The root of everything that this package raises on purpose."""


class BadApplicant(PushCertificateError, BadInput):
    """A key, name, mail address or country that no request can be made with."""


class BadRequestFile(PushCertificateError, BadInput):
    """Bytes that are not a request for identity.apple.com, or not written as Apple reads them."""


class RequestRefused(PushCertificateError, BadInput):
    """A request that reads well and that Apple would refuse."""


class BadVendor(PushCertificateError, BadInput):
    """A certificate, or its key, that cannot sign requests for Apple."""


class NotAVendorCertificate(BadVendor):
    """A certificate without Apple's mark of an MDM vendor, or one of a CA."""


class VendorKeyMismatch(BadVendor):
    """The private key is not the vendor certificate's."""


class VendorKeyNotRSA(BadVendor):
    """A vendor certificate for another kind of key than RSA."""


class VendorKeyWeak(BadVendor):
    """A vendor certificate for an RSA key that is too short to be trusted."""


class VendorExpired(BadVendor):
    """The vendor certificate has ended."""


class VendorNotYetValid(BadVendor):
    """The vendor certificate has not begun."""


class BadChain(PushCertificateError, BadInput):
    """Certificates that do not lead from a vendor certificate to one of Apple's roots."""


class MissingIssuer(BadChain):
    """The chain cannot go on: the certificate of an issuer was not among those given."""


class MdmcertRefused(PushCertificateError, BadInput):
    """mdmcert.download understood the request and refuses it; `reason` is in its words, an empty text where it gave none."""

    def __init__(self, reason: str) -> None:
        said = f": {reason}" if reason else " and gives no reason"
        super().__init__(
            f"mdmcert.download refuses the request{said}.",
            advice="Check that the mail address is registered there and that the client key is the one issued to you.",
        )
        self.reason = reason


class BadReply(PushCertificateError, BadInput):
    """A file that is not the answer of mdmcert.download, or one that does not open."""


class ReplyForAnother(BadReply):
    """An answer of mdmcert.download that was encrypted to a certificate whose key is not here."""


class UnfitPushCertificate(PushCertificateError, BadInput):
    """A certificate that cannot be, or should not become, the push certificate."""


class IsVendorCertificate(UnfitPushCertificate):
    """The vendor certificate of the developer portal in place of the push certificate."""


class IsAuthority(UnfitPushCertificate):
    """The certificate of a CA in place of the push certificate."""


class WrongTopic(UnfitPushCertificate):
    """A certificate without exactly one MDM topic in its subject."""


class KeyNotRSA(UnfitPushCertificate):
    """A certificate for another kind of key than RSA: Apple issues none."""


class KeyWeak(UnfitPushCertificate):
    """A certificate for an RSA key that is too short to be trusted."""


class KeyMismatch(UnfitPushCertificate):
    """The private key is not the push certificate's."""


class Expired(UnfitPushCertificate):
    """The push certificate has ended."""


class NotYetValid(UnfitPushCertificate):
    """The push certificate has not begun."""


class WrongUsage(UnfitPushCertificate):
    """A certificate that is not for TLS clients, so APNs would end the handshake."""
