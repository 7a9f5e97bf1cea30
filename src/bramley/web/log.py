"""What the edge writes to the log: never a body, a header, a query string, or a path with a token in it."""

from __future__ import annotations

import traceback


def shown(error: BaseException) -> str:
    """A traceback as text, for a key of its own.

    Not `exc_info`: some renderers of tracebacks add the values of local variables, and among those are headers with tokens.
    """
    return "".join(traceback.format_exception(error))
