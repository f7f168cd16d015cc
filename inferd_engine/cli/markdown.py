"""Show an answer as Markdown while it comes (``rich``, the extra ``cli``).

Markdown is known block by block: a paragraph, a list, a table, a piece of code.  Once the next
block has begun, nothing that follows can change the one before (CommonMark 0.31, appendix: a closed
block is never opened again).  So a finished block is drawn once and stays, and the last one alone
is drawn anew as it grows: the work does not grow with the answer, and the screen scrolls as it does
for plain text.

Rules:

* A block begins at a whole line: ``- |`` may become the second line of a table.
* What is drawn has passed through ``printable_text`` after rendering, too: ``&#27;`` is an escape
  character once it is decoded.
* Nothing of a text is lost: tags are text, a line break is a line break, a link shows its address.
"""

from __future__ import annotations

import re
import sys
import time
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt
from rich.console import Console
from rich.markdown import Markdown as Rendered
from rich.segment import Segment, Segments

from inferd_engine.cli.live import Region, size
from inferd_engine.cli.terminal import printable_text

if TYPE_CHECKING:
    from markdown_it.token import Token

_PAUSE = 0.1  # seconds between two drawings, at the least
_REST = 4  # times as long as a drawing took: a block of a thousand lines is not to hold up the rest
_THEME = "ansi_dark"  # the terminal's own colours, on its own background
_STYLE = re.compile(r"\x1b\[[\d;]*m")
_LINE = re.compile(r"[^\n]*\n|[^\n]+")  # as CommonMark has them: U+2028 is a character
_parser = (
    MarkdownIt("commonmark", {"html": False})
    .enable(["strikethrough", "table"])
    .disable(["reference", "image", "autolink"])  # what is read by them is not shown by rich
)


class Markdown:
    """Show text as Markdown, as it comes."""

    def __init__(self) -> None:
        self._region = Region()
        self._text = ""  # of the block that is not finished
        self._is_first = True
        self._is_drawn = True
        self._due = 0.0  # when it is time to draw

    def write(self, text: str) -> None:
        """Take the next piece, and show it if it is time."""
        self._text += printable_text(text)
        self._is_drawn = False
        if time.monotonic() >= self._due:
            self.tick()

    def tick(self) -> None:
        """Show what has come."""
        began = time.monotonic()
        if self._is_drawn or began < self._due:
            return
        finished, self._text = split(self._text)
        if finished:
            self._finish(finished)
        self._region.draw(self._lines(self._text))
        self._is_drawn = True
        ended = time.monotonic()
        self._due = ended + max(_PAUSE, _REST * (ended - began))

    def pause(self) -> None:
        """Let something else be shown below; what comes after that begins anew."""
        self.close()
        self._is_first = True

    def close(self) -> None:
        """Show all of it, for good."""
        self._finish(self._text)
        self._text = ""
        self._is_drawn = True

    def _finish(self, text: str) -> None:
        lines = self._lines(text)
        if lines:
            self._region.finish(lines)
            self._is_first = False

    def _lines(self, text: str) -> list[str]:
        """Return a text as lines of the screen, a blank one before each block but the first."""
        lines: list[str] = []
        for block in blocks_of(text):
            if lines or not self._is_first:
                lines.append("")
            lines += render(block, size()[0])
        return lines


def split(text: str) -> tuple[str, str]:
    """Return the blocks that are finished, and the one that may still grow."""
    whole, newline, begun = text.rpartition("\n")
    starts = _starts(whole + newline)
    if len(starts) < 2:  # noqa: PLR2004 - the last one is not finished
        return "", text
    lines = _LINE.findall(whole + newline)
    return "".join(lines[: starts[-1]]), "".join(lines[starts[-1] :]) + begun


def blocks_of(text: str) -> list[str]:
    """Return the blocks of a text."""
    lines, starts = _LINE.findall(text), _starts(text)
    return ["".join(lines[a:b]) for a, b in zip(starts, [*starts[1:], len(lines)])]  # noqa: B905


def _starts(text: str) -> list[int]:
    """Return the lines at which blocks begin."""
    tokens = _parser.parse(text)
    starts = {token.map[0] for token in tokens if token.level == 0 and token.map}
    return sorted(starts)


def render(block: str, columns: int) -> list[str]:
    """Return a block as lines with our escape sequences, and none of somebody else's."""
    markdown = Rendered("", code_theme=_THEME, hyperlinks=False)
    markdown.parsed = _with_breaks(_parser.parse(block))
    console = Console(file=sys.stdout, width=columns, highlight=False)
    safe = [
        Segment(printable_text(segment.text), segment.style)
        for segment in console.render(markdown)
        if not segment.control
    ]
    with console.capture() as captured:
        console.print(Segments(safe), end="")
    return _trimmed(captured.get().split("\n"))


def _trimmed(lines: list[str]) -> list[str]:
    """Leave out blank lines around a block, and blanks at the ends of lines."""
    lines = [line.rstrip() for line in lines]
    filled = [number for number, line in enumerate(lines) if _STYLE.sub("", line).strip()]
    return lines[filled[0] : filled[-1] + 1] if filled else []


def _with_breaks(tokens: list[Token]) -> list[Token]:
    """Make line breaks of those that Markdown would join: models mean them."""
    for token in tokens:
        for child in token.children or ():
            if child.type == "softbreak":
                child.type = "hardbreak"
    return tokens
