"""How far a batch is: a bar of tqdm's where that is installed, else one plain line on stderr.

It is told what it shows, and shown, by the thread that iterates: a daemon thread that writes while
the interpreter ends aborts it.
"""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from inferd_engine.many.batch.results import MapResult

_EVERY = 0.1  # seconds between two states of a line on a terminal
_EVERY_IN_A_FILE = 10.0  # where each state is a line of its own


class Tally:
    """What was answered so far, and what it cost."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._asked_tokens = 0  # generated for answers that were not in the journal already
        self._has_usage = True  # until an answer has none, and no other had one
        self.done = 0
        self.failed = 0
        self.tokens_in = 0
        self.tokens_out = 0

    def add(self, result: MapResult, *, is_new: bool) -> None:
        """Count a result."""
        self.done += 1
        if result.completion is None:
            self.failed += 1
            return
        usage = result.completion.usage
        if usage is None:
            self._has_usage = self.tokens_in + self.tokens_out > 0
        else:
            self._has_usage = True
            self.tokens_in += usage.input_tokens or 0
            self.tokens_out += usage.output_tokens or 0
            self._asked_tokens += (usage.output_tokens or 0) * is_new

    def text(self) -> str:
        """Return what it cost, in words."""
        failed = f"{self.failed} failed, " if self.failed else ""
        if not self._has_usage:
            return f"{failed}tokens unknown"
        rate = self._asked_tokens / max(1e-9, time.monotonic() - self._started)
        return f"{failed}{rate:.0f} tokens/s, {self.tokens_in} tokens in, {self.tokens_out} out"


class Progress(Protocol):
    """What shows how far a batch is."""

    def answered(self, result: MapResult, *, is_new: bool = True) -> None:
        """Count a result, and show it some time soon."""

    def show(self) -> None:
        """Show how things are, if it is time to."""

    def close(self) -> None:
        """Show how it ended."""


class Line:
    """One line that is written over, on a terminal; elsewhere a line now and then."""

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._tally = Tally()
        self._shown_at = float("-inf")
        with contextlib.suppress(AttributeError, ValueError):
            self._is_terminal = sys.stderr.isatty()

    _is_terminal = False

    def answered(self, result: MapResult, *, is_new: bool = True) -> None:
        """Count a result, and show it some time soon."""
        self._tally.add(result, is_new=is_new)

    def show(self, *, now: bool = False) -> None:
        """Show how things are, if it is time to."""
        every = _EVERY if self._is_terminal else _EVERY_IN_A_FILE
        if not now and time.monotonic() - self._shown_at < every:
            return
        self._shown_at = time.monotonic()
        total = "" if self._total is None else f"/{self._total}"
        text = f"{self._tally.done}{total} answered, {self._tally.text()}"
        # To the beginning, and what is left of a longer line cleared with blanks: no escapes.
        _write(f"\r{text:<79}" if self._is_terminal else f"{text}\n")

    def close(self) -> None:
        """Show how it ended."""
        self.show(now=True)
        if self._is_terminal:
            _write("\n")


class Bar:
    """A bar of tqdm's.

    Args:
        bar: Made for as many prompts as there are.
    """

    def __init__(self, bar: Any) -> None:  # tqdm's
        self._bar = bar
        self._tally = Tally()

    def answered(self, result: MapResult, *, is_new: bool = True) -> None:
        """Count a result, and show it some time soon."""
        self._tally.add(result, is_new=is_new)
        self._bar.set_postfix_str(self._tally.text(), refresh=False)
        self._bar.update(1)

    def show(self) -> None:
        """Let tqdm show it in its own time."""

    def close(self) -> None:
        """Show how it ended."""
        self._bar.close()


def progress_of(prompts: object) -> Progress:
    """Return what shows the progress of prompts, of which it may be known how many there are."""
    total = len(prompts) if hasattr(prompts, "__len__") else None
    try:
        from tqdm.auto import tqdm  # noqa: PLC0415 - where it is installed
    except ImportError:
        return Line(total)
    return Bar(tqdm(total=total, unit=" answers"))


def _write(text: str) -> None:
    with contextlib.suppress(AttributeError, OSError, ValueError):  # closed, or not there
        sys.stderr.write(text)
        sys.stderr.flush()
