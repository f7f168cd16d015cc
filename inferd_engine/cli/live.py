"""Lines at the end of the screen that are drawn again and again until they are final.

Rules, so that nothing flickers:

* What is on the screen already is not written again: drawing begins at the first line that differs.
* A line is cleared when its new text is at hand, and a drawing is one write.
* No line fills the last column: a terminal that is about to wrap would clear the last character.
* More lines than the screen has cannot be drawn again, as the first ones have scrolled away: of
  those only the last are shown until they are final.

Rejected: ``rich.live``, which clears all lines before it draws them, and redraws from a thread.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from inferd_engine.cli import terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

_ORDINARY = (80, 24)  # columns, lines of a terminal that does not tell: a VT100's


def size() -> tuple[int, int]:
    """Return the columns and lines that may be used: not the last column."""
    try:
        columns, lines = os.get_terminal_size(sys.stdout.fileno())
    except (OSError, ValueError):
        columns, lines = _ORDINARY
    return max((columns or _ORDINARY[0]) - 1, 1), max(lines or _ORDINARY[1], 2)


class Region:
    """Draw lines; what is drawn next takes the place of what is not final."""

    def __init__(self) -> None:
        self._drawn: list[str] = []  # on the screen; the cursor is at the end of the last

    def draw(self, lines: Sequence[str]) -> None:
        """Show lines, for now: the last of them if there are more than the screen has."""
        self._replace(list(lines)[-size()[1] :])

    def finish(self, lines: Sequence[str]) -> None:
        """Show lines for good, and begin a new line below."""
        self._replace(list(lines))
        if self._drawn:
            self._drawn = []
            terminal.write_escapes("\n")

    def _replace(self, lines: list[str]) -> None:
        old = self._drawn
        pairs = zip(old, lines)  # noqa: B905 - as far as both go
        same = next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(old), len(lines)))
        if same == len(old) == len(lines):
            return
        begin = max(min(same, len(old) - 1, len(lines) - 1), 0)  # the row where the cursor goes
        up = len(old) - 1 - begin
        moved = (f"\x1b[{up}A" if up > 0 else "") + "\r"  # ECMA-48, 8.3.22 (CUU)
        drawn = "\n".join(f"\x1b[K{line}" for line in lines[begin:])  # 8.3.41 (EL)
        below = "\x1b[J" if len(old) > len(lines) else ""  # 8.3.39 (ED)
        self._drawn = lines  # first: Ctrl-C may strike while it is written
        terminal.write_escapes(moved + drawn + below)
