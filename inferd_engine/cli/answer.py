"""Print an answer as it comes: text on stdout; thinking, tool calls and the end on stderr.

Thinking is for whoever watches: it is shown dim, and only where stderr is a terminal.  On a
terminal both go to the same screen: a line which one has begun is ended before the other begins.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Protocol

import inferd_engine as ie
from inferd_engine.cli import terminal
from inferd_engine.cli.terminal import is_styled, is_terminal, printable_text, say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inferd_engine.events import Event

_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"  # ECMA-48, 8.3.117 (SGR)
_ORDINARY = ("end_turn", "error")  # the one needs no word, the other has a sentence of its own
_BEAT = 0.1  # seconds: what has come is drawn ten times a second at the most


class Shown(Protocol):
    """Where the text of an answer is shown."""

    def write(self, text: str) -> None: ...  # noqa: D102
    def tick(self) -> None: ...  # noqa: D102
    def pause(self) -> None: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


class Plain:
    """Show text as it is."""

    def __init__(self) -> None:
        self._is_open = False  # whether a line was begun

    def write(self, text: str) -> None:
        """Show the next piece."""
        self._is_open = not text.endswith("\n")  # first: Ctrl-C may strike while it is written
        terminal.write(text)

    def tick(self) -> None:
        """Do nothing: all that came was shown."""

    def pause(self) -> None:
        """Let something else be shown: on the same screen it begins a line of its own."""
        if is_terminal(sys.stdout):
            self.close()

    def close(self) -> None:
        """End the last line."""
        if self._is_open:
            self._is_open = False
            terminal.write("\n")


class Thoughts:
    """Show thinking on stderr, dim where it can be."""

    def __init__(self) -> None:
        self._begin, self._end = (_DIM, _PLAIN) if is_styled(sys.stderr) else ("[thinking] ", "")
        self._is_open = False

    def write(self, text: str) -> None:
        """Show the next piece."""
        text = printable_text(text)
        if not self._is_open:
            text = self._begin + text
            self._is_open = True
        terminal.note(text)

    def close(self) -> None:
        """End it, so that the answer begins a line of its own."""
        if self._is_open:
            terminal.note(self._end + "\n")
            self._is_open = False


class Printer:
    """Print one answer for people."""

    def __init__(self, *, thinking: bool) -> None:
        self._thoughts = Thoughts() if thinking and is_terminal(sys.stderr) else None
        self._text = _shown()
        self._events: list[Event] = []

    @property
    def has_begun(self) -> bool:
        """Whether anything of the answer has come."""
        return bool(self._events)

    @property
    def completion(self) -> ie.Completion:
        """What has come."""
        return ie.Completion.of(self._events)

    def show(self, stream: ie.TokenStream) -> None:
        """Print a stream to its end.

        Raises:
            GenerateError: The answer failed; what had come is printed.
        """
        try:
            for event in _beating(stream, self._text):
                if event is None:
                    self._text.tick()
                else:
                    self._events.append(event)
                    self._print(event)
        except BaseException:
            self._leave()
            raise
        self._end_thinking()
        self._text.close()
        check_whole(stream)

    def fail(self, error: BaseException) -> None:
        """Do nothing: whoever catches the error tells it."""

    def _print(self, event: Event) -> None:
        if isinstance(event, ie.TextDelta):
            self._end_thinking()
            self._text.write(event.delta)
        elif isinstance(event, ie.ThinkingDelta):
            if self._thoughts is not None:
                self._text.pause()
                self._thoughts.write(event.delta)
        elif isinstance(event, ie.ToolUse):
            self._leave()
            arguments = json.dumps(event.input, ensure_ascii=False)
            say(f"[tool call {event.name}({arguments})]")
        elif isinstance(event, ie.Done) and event.stop_reason not in _ORDINARY:
            self._end_thinking()
            self._text.close()
            say(f"[{event.stop_reason}]")

    def _end_thinking(self) -> None:
        if self._thoughts is not None:
            self._thoughts.close()

    def _leave(self) -> None:
        """Leave off, so that whatever is said next begins a line of its own."""
        self._end_thinking()
        self._text.pause()


def _beating(stream: ie.TokenStream, text: Shown) -> Iterable[Event | None]:
    """Return the events, with a beat in silence for what is drawn now and then."""
    return stream if isinstance(text, Plain) else stream.with_heartbeat(_BEAT)


def _shown() -> Shown:
    """Return what shows the text: Markdown where it can be drawn, plain text elsewhere."""
    if is_styled(sys.stdout) and terminal.has_unicode(sys.stdout):
        try:
            from inferd_engine.cli.markdown import Markdown  # noqa: PLC0415 - an extra
        except ImportError:  # rich is not installed
            return Plain()
        return Markdown()
    return Plain()


def check_whole(stream: ie.TokenStream) -> None:
    """Raise if the upstream gave the answer up: it is not to look whole."""
    done = stream.done
    if done is not None and done.stop_reason == ie.StopReason.ERROR:
        raise ie.StreamInterruptedError(
            f"the upstream gave the answer up: {done.finish_reason}",
            retryable=False,
            request_id=stream.request_id,
        )
