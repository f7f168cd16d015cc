"""stdin, stdout and stderr as they are: closed, full, a pipe, a terminal that knows ASCII alone.

Rules:

* Text goes to stdout, everything else to stderr; a pipe gets what a model says as it is.
* A terminal is given text and never an escape sequence or a control character of somebody else's:
  they could rewrite the screen, or make a text read backwards.  The only escape sequences that a
  terminal gets are ours, and none of them if it is dumb or ``NO_COLOR`` is set.
* A character that the encoding does not have becomes a question mark.
* When stdout is lost that ends the command (``OutputLostError``); when stderr is, nobody is told.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from typing import TYPE_CHECKING

from inferd_engine.wire.text.printable import REORDERING

if TYPE_CHECKING:
    from typing import TextIO

# C0 but tab and line feed, DEL, C1 (0x9b alone begins a sequence).
_UNSAFE = re.compile(rf"[\x00-\x08\x0b-\x1f\x7f-\x9f{REORDERING}]")
_STANDARD = 3  # descriptors: stdin, stdout, stderr


class OutputLostError(Exception):
    """stdout cannot be written any more; the cause says why."""


def printable_text(text: str) -> str:
    """Return a text that is safe to print: no escape sequences, no reordering of characters."""
    return _UNSAFE.sub("\ufffd", text.replace("\r", ""))


def prepare() -> None:
    """Make the three streams safe to use, whatever the process was started with."""
    with contextlib.suppress(OSError):
        # A socket that got the number of a closed stdout would be printed to.
        while (descriptor := os.open(os.devnull, os.O_RDWR)) < _STANDARD:
            pass
        os.close(descriptor)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]


def is_terminal(stream: TextIO | None) -> bool:
    """Whether somebody looks at it."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


def is_styled(stream: TextIO | None) -> bool:
    """Whether it may be given escape sequences of ours."""
    is_dumb = os.environ.get("TERM", "") in ("dumb", "unknown")
    return is_terminal(stream) and not is_dumb and not os.environ.get("NO_COLOR")


def has_unicode(stream: TextIO) -> bool:
    """Whether its encoding has every character."""
    return (stream.encoding or "").lower().replace("-", "").startswith("utf")


def write(text: str) -> None:
    """Write a text to stdout, at once.

    Raises:
        OutputLostError: It cannot be written.
    """
    write_escapes(printable_text(text) if is_terminal(sys.stdout) else text)


def write_escapes(text: str) -> None:
    """Write to stdout what is known to be safe.

    Raises:
        OutputLostError: It cannot be written.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except (AttributeError, OSError, ValueError) as error:
        raise OutputLostError from error


def flush() -> None:
    """Have everything written that was printed.

    Raises:
        OutputLostError: It cannot be written.
    """
    if sys.stdout is not None:
        write_escapes("")


def say(text: str) -> None:
    """Write a line to stderr."""
    note(printable_text(text) + "\n")


def note(text: str) -> None:
    """Write to stderr what is known to be safe; if it is lost, nobody can be told."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (AttributeError, OSError, ValueError):
        give_up(sys.stderr)


def give_up(stream: TextIO | None) -> None:
    """Let what is left of a stream go nowhere.

    Python flushes stdout and stderr once more when it ends, and exits with 120 where that fails.
    """
    if stream is None:
        return
    with contextlib.suppress(AttributeError, OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
