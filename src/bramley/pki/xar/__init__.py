"""xar archives, such as Apple's flat installer packages: read, signed, verified. What is in their files is not looked at.

An archive is a header, a table of contents (XML, zlib) and the heap. All offsets of the table count from the heap's first byte.
The heap begins with the digest of the compressed table; signatures over that digest follow, then what the files consist of.
The table holds a digest of each file's bytes, so whoever signs the table's digest signs everything.

`read` opens an archive, `sign` writes a signed copy, `verify` says what holds. What they rely on: the format as libarchive
writes and reads it, and what Apple's `productsign` is known to write.
"""

from bramley.pki.xar.archive import Archive, read
from bramley.pki.xar.errors import AlreadySigned, BadXar, Damaged
from bramley.pki.xar.heap import Progress
from bramley.pki.xar.signing import Identity, Stamp, sign
from bramley.pki.xar.verifying import Proof, Verification, verify

__all__ = [
    "AlreadySigned",
    "Archive",
    "BadXar",
    "Damaged",
    "Identity",
    "Progress",
    "Proof",
    "Stamp",
    "Verification",
    "read",
    "sign",
    "verify",
]
