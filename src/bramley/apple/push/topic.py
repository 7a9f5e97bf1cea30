"""The push topic: what ties every enrollment to one push certificate, and to its renewals."""

from __future__ import annotations

from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from bramley.apple.push.errors import BadPushCertificate
from bramley.pki import names

PREFIX: Final = "com.apple.mgmt."
"""How the topic of every MDM push certificate starts; others (apps, VoIP, Wallet) cannot wake a device for its MDM."""


def topic_of(certificate: x509.Certificate) -> str:
    """The topic a push certificate is for: the subject's UID (0.9.2342.19200300.100.1.1), as Apple issues it.

    Raises BadPushCertificate, saying what was found, where there is not exactly one UID or it is no MDM topic.
    """
    found = [attribute.value for attribute in certificate.subject.get_attributes_for_oid(NameOID.USER_ID)]
    topic = found[0] if len(found) == 1 else None
    if not isinstance(topic, str) or not topic.startswith(PREFIX) or topic == PREFIX:
        shown = ", ".join(repr(value) for value in found) or "none"
        raise BadPushCertificate(
            f"Expected a push certificate whose subject has one UID that starts with {PREFIX}; "
            f"this one has {shown} in {names.text(certificate.subject)}.",
            advice="Use the certificate that identity.apple.com/pushcert issued, not an app's or the vendor's.",
        )
    return topic
