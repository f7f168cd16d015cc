"""Ctrl-C, one at a time: the next one does not strike while somebody deals with the last.

In a process that is ours it raises ``KeyboardInterrupt`` once.  Whoever ends because of it need do
no more: a second Ctrl-C ends the process as the system does it, without a traceback.  Whoever goes
on (a conversation) is left alone by Ctrl-C until it asks for the next one.

Where somebody else's program calls ``main()``, and where Ctrl-C is ignored from the start (a job in
a shell's background), the handler is left as it is.
"""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from types import FrameType


def once() -> None:
    """Have Ctrl-C raise ``KeyboardInterrupt``, and the one after it end the process."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        _handle(_strike_and_end)


def again() -> None:
    """Have Ctrl-C raise ``KeyboardInterrupt``, and do nothing after that until this is called."""
    if signal.getsignal(signal.SIGINT) in (_strike_and_end, _strike_and_go_on, _leave_alone):
        _handle(_strike_and_go_on)


def _handle(handler: signal._HANDLER) -> None:
    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGINT, handler)


def _strike_and_end(_: int, __: FrameType | None) -> NoReturn:
    _handle(signal.SIG_DFL)
    raise KeyboardInterrupt


def _strike_and_go_on(_: int, __: FrameType | None) -> NoReturn:
    _handle(_leave_alone)
    raise KeyboardInterrupt


def _leave_alone(_: int, __: FrameType | None) -> None:
    pass
