"""What is told when something fails: a sentence, an event, an exit code.

The engine's messages name the place and the next step already.  What is added here is what only a
person at a keyboard asks: how long to wait.
"""

from __future__ import annotations

import math
import os
import traceback
from typing import Any

import inferd_engine as ie
from inferd_engine.cli.exit_codes import EXIT_CUT, EXIT_UPSTREAM, EXIT_USAGE
from inferd_engine.cli.terminal import note, say

_DEBUG_VARIABLE = "INFERD_ENGINE_DEBUG"


def sentence_of(error: BaseException) -> str:
    """Return what happened and what to do next, in one line or two."""
    sentence = str(error) or type(error).__name__
    wait = getattr(error, "retry_after", None)
    if wait is None:
        return sentence
    return f"{sentence}; try again in {max(1, math.ceil(wait))} s"


def tell(error: BaseException) -> None:
    """Say on stderr what happened; with its traceback for those who debug."""
    if is_debugging():
        note("".join(traceback.format_exception(error)))
    say(f"error: {sentence_of(error)}")


def is_debugging() -> bool:
    """Whether tracebacks are wanted."""
    return os.environ.get(_DEBUG_VARIABLE, "") not in ("", "0")


def code_of(error: ie.GenerateError) -> int:
    """Return the exit code for an error of a call."""
    if isinstance(error, ie.StreamInterruptedError):
        return EXIT_CUT
    return EXIT_USAGE if isinstance(error, ie.InvalidRequestError) else EXIT_UPSTREAM


def event_of(error: BaseException) -> dict[str, Any]:
    """Return the last event of an answer that failed, or that was stopped."""
    if not isinstance(error, ie.GenerateError):
        error = ie.RequestCancelledError("stopped with Ctrl-C")
    return {"type": "error", **error.to_dict()}
