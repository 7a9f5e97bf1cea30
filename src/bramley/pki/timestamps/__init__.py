"""Timestamps (RFC 3161, RFC 5816): asking an authority for one, and whether what it gave proves anything.

An authority signs a digest together with the time, so that a signature whose certificate has ended can be seen to be older.

`request` makes the message to send, `accept` judges what comes back, `verify` judges a token found in a signature. Whether to
believe the authority's certificate is for `bramley.pki.chains`.
"""

from bramley.pki.timestamps.errors import BadTimestamp, Declined, TimestampError
from bramley.pki.timestamps.messages import LARGEST_ANSWER, QUERY_TYPE, REPLY_TYPE, TimeStampReq, request
from bramley.pki.timestamps.tokens import LARGEST_TOKEN, VerifiedTimestamp, accept, verify

__all__ = [
    "LARGEST_ANSWER",
    "LARGEST_TOKEN",
    "QUERY_TYPE",
    "REPLY_TYPE",
    "BadTimestamp",
    "Declined",
    "TimeStampReq",
    "TimestampError",
    "VerifiedTimestamp",
    "accept",
    "request",
    "verify",
]
