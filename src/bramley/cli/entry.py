"""From the arguments to the exit code, with every error told in one line.

0 done, 1 a check found something, 2 bad input or usage, 3 outside trouble or a bug, 130 interrupted, 141 nobody reads on.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
import warnings
from collections.abc import Sequence

import typer
from typer.main import get_command

from bramley.cli import output
from bramley.cli.program import PROGRAM, app
from bramley.cli.verbs import Invocation
from bramley.errors import BadInput, BramleyError, OutsideTrouble

DONE, BAD_INPUT, TROUBLE, INTERRUPTED = 0, 2, 3, 130

UNREAD = 141
"""What a shell calls a program that SIGPIPE has ended: most end so when whoever reads their output has left."""

_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG})
"""What a disk has against being written to: files, the database and messages say so themselves, so it is the output."""

_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG})
"""What a disk has against being written to: files, the database and messages say so themselves, so it is the output."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command with these arguments, by default those of the process, and returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    # `cryptography` warns of odd names that it takes all the same; whoever gave the file cannot change them.
    warnings.filterwarnings("ignore", message="Attribute's length must be", category=UserWarning)
    # Read here as well as by the parser, which may be what fails.
    as_json = "--json" in arguments
    try:
        code = get_command(app).main(list(arguments), prog_name=PROGRAM, standalone_mode=False, obj=Invocation())
    except BramleyError as error:
        output.tell_error(error.message, error.advice, as_json=as_json)
        return _exit_code(error)
    except typer.TyperException as error:
        return _usage(error, as_json=as_json)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except (BrokenPipeError, SystemExit) as ended:
        # the parser makes an exit of 1 of the former
        if isinstance(ended, SystemExit) and not isinstance(ended.__context__, BrokenPipeError):
            raise
        _drop_output()
        return UNREAD
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _DISK:
            _drop_output()
            advice = "Make room, or send the output elsewhere."
            output.tell_error(f"What there is to say cannot be written: {error.strerror}.", advice, as_json=as_json)
            return TROUBLE
        traceback.print_exc()
        output.tell_error(
            f"This is a bug in Bramley: {type(error).__name__}: {error}",
            "Please report it, with the lines above.",
            as_json=as_json,
        )
        return TROUBLE
    return code if isinstance(code, int) else DONE


def _drop_output() -> None:
    """Python must not complain when it flushes at exit what cannot be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _usage(error: typer.TyperException, *, as_json: bool) -> int:
    # the parser's own word for a choice that is none
    message = error.format_message().replace(": Value error, ", ": ", 1)
    if message:  # empty where the help was shown instead
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else PROGRAM
        output.tell_error(message, f"`{path} --help` explains.", as_json=as_json)
    return BAD_INPUT


def _exit_code(error: BramleyError) -> int:
    if isinstance(error, BadInput):
        return BAD_INPUT
    from bramley.storage.errors import StorageError  # only once something has gone wrong: `--help` stays quick

    return TROUBLE if isinstance(error, OutsideTrouble | StorageError) else BAD_INPUT
