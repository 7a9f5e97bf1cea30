"""Object identifiers that CMS, SCEP and certification requests share, as dotted text, with their source."""

from __future__ import annotations

from typing import Final

# Content types: RFC 5652 sections 4, 5.1 and 6.1
DATA: Final = "1.2.840.113549.1.7.1"
SIGNED_DATA: Final = "1.2.840.113549.1.7.2"
ENVELOPED_DATA: Final = "1.2.840.113549.1.7.3"

# Attributes of a SignerInfo: RFC 5652 section 11
CONTENT_TYPE: Final = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST: Final = "1.2.840.113549.1.9.4"
SIGNING_TIME: Final = "1.2.840.113549.1.9.5"

# Timestamps: RFC 3161 sections 2.4.2 and 2.3 and appendix A; which certificate signed: RFC 2634 section 5.4, RFC 5035 section 3
TST_INFO: Final = "1.2.840.113549.1.9.16.1.4"
TIME_STAMP_TOKEN: Final = "1.2.840.113549.1.9.16.2.14"  # noqa: S105 (the name of an attribute)
SIGNING_CERTIFICATE: Final = "1.2.840.113549.1.9.16.2.12"
SIGNING_CERTIFICATE_V2: Final = "1.2.840.113549.1.9.16.2.47"

# Attributes of a certification request: RFC 2985 section 5.4
CHALLENGE_PASSWORD: Final = "1.2.840.113549.1.9.7"  # noqa: S105 (the name of an attribute)
EXTENSION_REQUEST: Final = "1.2.840.113549.1.9.14"

# Digests: RFC 3370 section 2.1, RFC 5754 section 2
SHA1: Final = "1.3.14.3.2.26"
SHA256: Final = "2.16.840.1.101.3.4.2.1"
SHA384: Final = "2.16.840.1.101.3.4.2.2"
SHA512: Final = "2.16.840.1.101.3.4.2.3"

# Keys: RFC 3279 section 2.3, RFC 5480 section 2.1
RSA_ENCRYPTION: Final = "1.2.840.113549.1.1.1"
EC_PUBLIC_KEY: Final = "1.2.840.10045.2.1"

# Signatures: RFC 8017 appendix A.2.4, RFC 3279 section 2.2.3, RFC 5758 section 3.2
SHA1_WITH_RSA: Final = "1.2.840.113549.1.1.5"
SHA256_WITH_RSA: Final = "1.2.840.113549.1.1.11"
SHA384_WITH_RSA: Final = "1.2.840.113549.1.1.12"
SHA512_WITH_RSA: Final = "1.2.840.113549.1.1.13"
ECDSA_WITH_SHA1: Final = "1.2.840.10045.4.1"
ECDSA_WITH_SHA256: Final = "1.2.840.10045.4.3.2"
ECDSA_WITH_SHA384: Final = "1.2.840.10045.4.3.3"
ECDSA_WITH_SHA512: Final = "1.2.840.10045.4.3.4"

# Content encryption: RFC 3565 section 4.1, RFC 3370 section 5.1; single DES: OIW, in OpenSSL's and Go's SCEP clients
AES_128_CBC: Final = "2.16.840.1.101.3.4.1.2"
AES_192_CBC: Final = "2.16.840.1.101.3.4.1.22"
AES_256_CBC: Final = "2.16.840.1.101.3.4.1.42"
DES_EDE3_CBC: Final = "1.2.840.113549.3.7"
DES_CBC: Final = "1.3.14.3.2.7"

# Encryption under a password: RFC 8018 appendices A and B
PBES2: Final = "1.2.840.113549.1.5.13"
PBKDF2: Final = "1.2.840.113549.1.5.12"
HMAC_WITH_SHA256: Final = "1.2.840.113549.2.9"

# Extended key usages: RFC 5280 section 4.2.1.12
SERVER_AUTH: Final = "1.3.6.1.5.5.7.3.1"
CLIENT_AUTH: Final = "1.3.6.1.5.5.7.3.2"
CODE_SIGNING: Final = "1.3.6.1.5.5.7.3.3"
EMAIL_PROTECTION: Final = "1.3.6.1.5.5.7.3.4"
TIME_STAMPING: Final = "1.3.6.1.5.5.7.3.8"
OCSP_SIGNING: Final = "1.3.6.1.5.5.7.3.9"

# Certificate extensions: RFC 5280 section 4.2.1
SUBJECT_ALTERNATIVE_NAME: Final = "2.5.29.17"

# SCEP: RFC 8894 section 3.2.1, failInfoText section 3.2.1.4
SCEP_MESSAGE_TYPE: Final = "2.16.840.1.113733.1.9.2"
SCEP_PKI_STATUS: Final = "2.16.840.1.113733.1.9.3"
SCEP_FAIL_INFO: Final = "2.16.840.1.113733.1.9.4"
SCEP_SENDER_NONCE: Final = "2.16.840.1.113733.1.9.5"
SCEP_RECIPIENT_NONCE: Final = "2.16.840.1.113733.1.9.6"
SCEP_TRANSACTION_ID: Final = "2.16.840.1.113733.1.9.7"
SCEP_FAIL_INFO_TEXT: Final = "1.3.6.1.5.5.7.24.1"
