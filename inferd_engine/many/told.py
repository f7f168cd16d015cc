"""What an error says of the attempts before it: for tracebacks, for logs and for programs.

It is the last error that is raised, because its class says what to do now.  What came before is
told beside it: ``attempts`` counts, and each earlier failure is a note (PEP 678), which a traceback
shows below the message.  Notes are made of messages alone, in which no secret is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferd_engine.reprs import shortened

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inferd_engine.errors import GenerateError

_SHOWN = 200  # characters of an earlier message


def in_short(error: GenerateError) -> str:
    """Return an error in a line: its class, and what it says."""
    return f"{type(error).__name__}: {shortened(str(error), _SHOWN)[1:-1]}"


def tell(error: GenerateError, attempts: int, notes: Iterable[str]) -> None:
    """Say on an error how often was asked, and what happened before.

    Args:
        error: The last one.
        attempts: How often was asked in all; 1 is not worth a word.
        notes: A line for each of the others.
    """
    if attempts > 1:
        error.attempts = attempts
    for note in notes:
        # A mock raises one and the same error again and again.  CPython 3.10 knows no notes.
        if hasattr(error, "add_note") and note not in getattr(error, "__notes__", ()):
            error.add_note(note)
