"""An answer shown as it comes: drawn again and again in a kernel, printed anywhere else.

Rules:

* What has come is shown within a redraw or two, also when nothing comes after it.
* At most ten redraws in any second, and fewer as the text grows: each one carries all of it.
* Whatever ends the answer ends its upstream, is told on the page below what has come, and goes on
  up: "Run all" stops at an error, and at an interrupt.
* All is drawn by the thread that asked: what another one shows goes to whatever cell runs then.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

import attrs

import inferd_engine as ie
from inferd_engine.cli.terminal import printable_text
from inferd_engine.notebook.kernel import Output, running_kernel
from inferd_engine.notebook.page import Fold, Look, call_text, footer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from inferd_engine.events import Event

    Poll = Callable[[float], Event | None]

_PAUSE = 0.12  # seconds between redraws: with the first and the last, ten in a second at the most
_RATE = 100_000  # characters a second that are sent again: one redraw of 50,000, in both its forms
_REST = 4  # times as long as a redraw took: the reading is not to wait for the drawing
_BEAT = 0.1  # seconds of silence after which what has come is drawn


def display(
    stream: ie.TokenStream, poll: Poll, thinking: Fold, *, plain: bool, trust: bool
) -> ie.Completion:
    """Show a stream to its end, and return the answer; see ``TokenStream.display()``.

    Args:
        stream: The stream.
        poll: Waits for its next event, for so many seconds; returns None if none came.
        thinking: As in ``Look``, like ``plain`` and ``trust``.
        plain: Text as it is.
        trust: Whatever the model says.
    """
    look = Look(thinking, plain, trust)
    shell = running_kernel()
    screen: Screen = Printed(look) if shell is None else Drawn(look, Output(shell))
    events: Iterable[Event | None] = stream if shell is None else _beating(stream, poll)
    seen: list[Event] = []
    try:
        for event in events:
            if event is not None:
                seen.append(event)
            screen.take(event)
        answer = _whole(stream, seen)
        screen.end(answer, footer(answer.usage, answer.stats, str(answer.stop_reason)))
    except BaseException as error:
        if not isinstance(error, Exception):  # it was not the stream that failed
            stream.close()
        partial = ie.Completion.of(seen)
        error.partial = partial  # type: ignore[attr-defined]  # an interrupt has none of its own
        screen.end(partial, footer(None, stream.stats, _end_of(error)), *_sentence(error))
        raise
    return answer


def _beating(stream: ie.TokenStream, poll: Poll) -> Iterator[Event | None]:
    """Return the events, with a beat in silence, and one to begin with."""
    yield None
    while (event := poll(_BEAT)) is not None or not stream.ended:
        yield event


def _whole(stream: ie.TokenStream, seen: list[Event]) -> ie.Completion:
    """Return the answer of a stream that was seen to its end."""
    collected = stream.collect()
    if not seen:
        return collected
    answer = ie.Completion.of(seen)
    return attrs.evolve(
        collected, text=answer.text, thinking=answer.thinking, tool_uses=answer.tool_uses
    )


def _end_of(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return "closed" if isinstance(error, ie.RequestCancelledError) else "failed"


def _sentence(error: BaseException) -> list[str]:
    """Return what an error says, on one line; an interrupt says nothing."""
    said = " ".join(str(error).split())
    return [f"{type(error).__name__}: {said}"] if said else []


class Screen(Protocol):
    """Where an answer is shown."""

    def take(self, event: Event | None) -> None: ...  # noqa: D102
    def end(self, answer: ie.Completion, *below: str) -> None: ...  # noqa: D102


class Drawn:
    """Draw what has come, again and again in the same place."""

    def __init__(self, look: Look, output: Output) -> None:
        self._look = look
        self._output = output
        self._answer = ie.Completion()
        self._new: list[Event] = []
        self._state = "waiting"
        self._is_drawn = False
        self._due = 0.0  # when it is time to draw

    def take(self, event: Event | None) -> None:
        """Take the next event, or a beat, and draw if it is time."""
        if event is not None:
            self._new.append(event)
            self._state, self._is_drawn = "streaming", False
        if not self._is_drawn and time.monotonic() >= self._due:
            self._draw()

    def end(self, answer: ie.Completion, *below: str) -> None:
        """Draw it for good."""
        self._output.keep(answer)
        self._output.show(self._look.bundle(answer, *below))

    def _draw(self) -> None:
        began = time.monotonic()
        new, self._new = ie.Completion.of(self._new), []
        self._answer = ie.Completion(
            self._answer.text + new.text,
            self._answer.thinking + new.thinking,
            self._answer.tool_uses + new.tool_uses,
        )
        bundle = self._look.bundle(self._answer, f"{self._state} …")
        self._output.show(bundle)
        self._is_drawn = True
        ended = time.monotonic()
        sent = sum(map(len, bundle.values()))
        self._due = ended + max(_PAUSE, sent / _RATE, _REST * (ended - began))


class Printed:
    """Print what has come, as it comes."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._thinking = ""
        self._is_open = False  # whether a line was begun

    def take(self, event: Event | None) -> None:
        """Print the next event; thoughts when they are over."""
        if isinstance(event, ie.ThinkingDelta):
            self._thinking += event.delta
        elif isinstance(event, ie.TextDelta):
            self._end_thinking()
            self._print(event.delta)
        elif isinstance(event, ie.Token):
            self._print(event.text)
        elif isinstance(event, ie.ToolUse):
            self._end_thinking()
            self._print_line(call_text(event))

    def end(self, answer: ie.Completion, *below: str) -> None:  # noqa: ARG002 - it was printed
        """Print how it ended."""
        self._end_thinking()
        for line in below:
            self._print_line(f"[{line}]")

    def _end_thinking(self) -> None:
        thoughts, self._thinking = self._look.thoughts(self._thinking), ""
        if thoughts:
            self._print_line(thoughts)

    def _print_line(self, text: str) -> None:
        self._print(("\n" if self._is_open else "") + text + "\n")

    def _print(self, text: str) -> None:
        self._is_open = not text.endswith("\n")  # first: Ctrl-C may strike while it is written
        print(printable_text(text), end="", flush=True)  # noqa: T201 - it is what was asked for
