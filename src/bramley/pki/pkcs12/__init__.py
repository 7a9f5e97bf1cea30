"""PKCS#12 (RFC 7292): a private key, its certificate and the chain in one file under a password (.p12, .pfx).

Read by ourselves, down to the bags: every count of iterations is seen before it is spent, those inside encrypted parts
included, BER is read like DER, and what is wrong can be told apart (`BadArchive` and the errors below it). Written by
`cryptography`.
"""

from bramley.pki.pkcs12.bundle import Bundle
from bramley.pki.pkcs12.reading import LIMITS, read
from bramley.pki.pkcs12.unlocking import MOST_ITERATIONS
from bramley.pki.pkcs12.writing import Style, write

__all__ = ["LIMITS", "MOST_ITERATIONS", "Bundle", "Style", "read", "write"]
