"""``demo``: what the package is for, over real sockets, in a few seconds, with nothing to set up.

An upstream of our own (``inferd_engine.testing``) answers, stalls and breaks off as it is told to;
it also tells when it noticed that a client has gone, by its own clock, which is this process's.
"""

from __future__ import annotations

import textwrap
import threading
import time
from typing import TYPE_CHECKING

import inferd_engine as ie
from inferd_engine.cli.exit_codes import EXIT_INTERRUPTED, EXIT_OK, EXIT_UPSTREAM, table_of
from inferd_engine.cli.terminal import write

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from inferd_engine.testing import Reply, Upstream

EPILOG = table_of(EXIT_OK, EXIT_UPSTREAM, EXIT_INTERRUPTED)
_COLUMNS = 79
_MARGIN = "    "
_DELAY = 0.02  # seconds between pieces: 50 a second, as a local model gives them
_STOP_AFTER = 0.4  # seconds: long enough to see it run
_IDLE = 0.5  # seconds
_PATIENCE = 5.0  # seconds until an upstream that was told nothing is given up
_ANSWER = [
    *("Text ", "comes ", "piece ", "by ", "piece, ", "in ", "every ", "script: ", "über ", "日本"),
    *("語 ", "العربية ", "हिन्दी ", "Ελληνικά ", "🦀"),
]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the demo takes no options."""


def run(_: argparse.Namespace) -> int:
    """Show the four things that matter."""
    from inferd_engine.testing import Upstream  # noqa: PLC0415 - a server, for the demo alone

    with (
        Upstream(*_replies()) as upstream,
        ie.OpenAiCompat(base_url=upstream.url, api_key="", model="demo", proxies={}) as backend,
    ):
        _stream(backend)
        was_told = _close(backend, upstream)
        _stall(backend.with_options(idle_timeout=_IDLE))
        _cut(backend)
    write(f"\nSSE decoder: {ie.SSEDecoder().implementation}\n")
    return EXIT_OK if was_told else EXIT_UPSTREAM


def _replies() -> list[Reply]:
    """Return what the upstream does, call by call."""
    from inferd_engine.testing import Cut, Pause, Reply, Stall, chunk, text_reply  # noqa: PLC0415

    endless = [step for _ in range(500) for step in (Pause(_DELAY), chunk("and then "))]
    return [
        text_reply(_ANSWER, delay=_DELAY, usage=(4, len(_ANSWER))),
        Reply(endless),
        Reply([chunk("Let me thi"), Stall()]),
        Reply([chunk("The answer is 4"), Cut()]),
    ]


def _stream(backend: ie.OpenAiCompat) -> None:
    _title(1, "An answer streams")
    with backend.stream("Show me.") as stream:
        _write_wrapped(stream.text())
    stats, usage = stream.stats, stream.done.usage if stream.done else None
    _say(
        f"The upstream sends a piece every {_DELAY * 1000:.0f} ms: the first came "
        f"{_ms(stats.ttft)} after the request, the end after {stats.duration:.2f} s. It counted "
        f"{usage.output_tokens if usage else 'no'} tokens."
    )


def _close(backend: ie.OpenAiCompat, upstream: Upstream) -> bool:
    """Close a stream from another thread; return whether the upstream noticed."""
    _title(2, "Another thread closes one")
    told: list[float] = []  # seconds from close(): until it returned, until the upstream knew

    def close() -> None:
        began = time.monotonic()
        stream.close()
        told.append(time.monotonic() - began)
        if upstream.requests[-1].gone.wait(_PATIENCE):
            told.append(time.monotonic() - began)

    with backend.stream("Tell me a story without an end.") as stream:
        closer = threading.Timer(_STOP_AFTER, close)
        closer.start()
        _write_wrapped(stream.text())
        closer.join()
    if len(told) < 2:  # noqa: PLR2004 - both
        _say(f"close() was called, and {_PATIENCE:.0f} s later the upstream was not told.")
        return False
    _say(
        f"close() took {_ms(told[0])}. The upstream was told {_ms(told[1])} after it was called, "
        "and the loop over the answer ended by itself."
    )
    return True


def _stall(impatient: ie.OpenAiCompat) -> None:
    _title(3, "One stalls, and runs into its deadline")
    began = time.monotonic()
    _fail(impatient)
    took = time.monotonic() - began
    _say(f"idle_timeout allows {_IDLE:.2f} s of silence; the call ended after {took:.2f} s.")


def _cut(backend: ie.OpenAiCompat) -> None:
    _title(4, "One is cut, and does not look whole")
    _fail(backend)
    _say("What had come is in error.partial.")


def _fail(backend: ie.OpenAiCompat) -> None:
    """Ask for an answer that fails, and show its error."""
    try:
        with backend.stream("What is 2 + 2?") as stream:
            _write_wrapped(stream.text())
    except ie.GenerateError as error:
        write("\n")
        _say(f"{type(error).__name__}: {error}")


def _write_wrapped(pieces: Iterable[str]) -> None:
    """Print a text as it comes, its lines no longer than a screen is wide."""
    column = 0
    for piece in pieces:
        if not column or column + len(piece) > _COLUMNS:
            write(f"\n{_MARGIN}" if column else _MARGIN)
            column = len(_MARGIN)
        write(piece)
        column += len(piece)
    write("\n")


def _ms(seconds: float | None) -> str:
    return f"{(seconds or 0) * 1000:.1f} ms"


def _title(number: int, text: str) -> None:
    gap = "\n" if number > 1 else ""
    write(f"{gap}{number}. {text}\n")


def _say(text: str) -> None:
    filled = textwrap.fill(text, _COLUMNS, initial_indent="  ", subsequent_indent="  ")
    write(f"{filled}\n")
