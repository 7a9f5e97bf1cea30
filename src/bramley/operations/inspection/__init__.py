"""What a certificate-like file is, what it is for in MDM, whose, until when, and which command takes it.

Pure: no database, no network. A file is told by content; whatever is in it may be hostile, so nothing in it makes `inspect`
raise, and secrets in it (keys, passwords, tokens, challenges) are never in a finding.
"""

from bramley.operations.inspection.finding import Finding, What
from bramley.operations.inspection.recognizing import LARGEST, inspect

__all__ = ["LARGEST", "Finding", "What", "inspect"]
