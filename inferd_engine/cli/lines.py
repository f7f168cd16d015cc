'''Read what somebody types: lines, with history where there is ``readline``; more of them in """.

Ctrl-C drops what was typed; on an empty line it has to come twice to leave, as Ctrl-D does at once.
What was typed is kept for the arrow keys while the conversation lasts, and is written nowhere.
'''

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import inferd_engine as ie
from inferd_engine.cli import interrupts
from inferd_engine.cli.prompt import argument_text
from inferd_engine.cli.terminal import say

if TYPE_CHECKING:
    from collections.abc import Callable

_PROMPT, _MORE = ">>> ", "... "
_QUOTES = '"""'


class Lines:
    """Read from the terminal until somebody leaves."""

    def __init__(self) -> None:
        with contextlib.suppress(AttributeError, ValueError):
            # Bytes that are not UTF-8 are kept until they can be refused with a word.
            sys.stdin.reconfigure(  # type: ignore[union-attr]
                encoding="utf-8", errors="surrogateescape"
            )
        self._typed = _line_buffer()
        self._is_warned = False

    def read(self) -> str | None:
        """Return what was typed; None if somebody leaves."""
        while True:
            try:
                interrupts.again()  # whatever the last one stopped is done with
                line = input(_PROMPT)
                if line.lstrip().startswith(_QUOTES):
                    line = _more(line.lstrip()[len(_QUOTES) :])
                self._is_warned = False
                return argument_text(line, "what was typed")
            except (EOFError, OSError):  # Ctrl-D, or the terminal is gone
                say("")
                return None
            except KeyboardInterrupt:
                say("")
                is_empty = not self._typed()
                if is_empty and self._is_warned:
                    return None
                if is_empty:
                    say("(Ctrl-C again or Ctrl-D leaves)")
                self._is_warned = is_empty
            except ie.InvalidRequestError as error:
                say(f"error: {error}")


def _more(line: str) -> str:
    """Return the lines up to the one that ends with quotes."""
    lines = [line]
    while not lines[-1].rstrip().endswith(_QUOTES):
        lines.append(input(_MORE))
    lines[-1] = lines[-1].rstrip()[: -len(_QUOTES)]
    return "\n".join(lines).strip("\n")


def _line_buffer() -> Callable[[], str]:
    """Return what tells what is typed but not entered; loading it gives ``input`` its history."""
    try:
        import readline  # noqa: PLC0415 - not on every system
    except ImportError:
        return str
    for setting in ("input-meta on", "output-meta on", "convert-meta off"):
        readline.parse_and_bind(f"set {setting}")  # bytes above 127 are text, in every locale
    return readline.get_line_buffer
