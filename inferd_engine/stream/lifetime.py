"""What becomes of open streams when the interpreter ends, and in a process that was forked."""

from __future__ import annotations

import atexit
import os
import time
from typing import TYPE_CHECKING

from inferd_engine.cancel import LiveSet

if TYPE_CHECKING:
    from inferd_engine.stream.token_stream import TokenStream

open_streams: LiveSet[TokenStream] = LiveSet()
"""The streams of this process that have not ended."""

_EXIT_GRACE = 0.5  # seconds that all workers together are given when the interpreter ends


def _disown_all() -> None:
    for stream in open_streams:
        stream.disown()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown_all)


@atexit.register
def _close_all() -> None:
    """Close what is still open, so that upstreams hear of it and no worker is cut off."""
    streams = list(open_streams)
    for stream in streams:
        stream.close()
    deadline = time.monotonic() + _EXIT_GRACE
    for stream in streams:
        stream.wait_released(deadline - time.monotonic())
