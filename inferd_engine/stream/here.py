"""Which process this is, and which is its main thread: known without asking at each read.

A forked child looks once more.
"""

from __future__ import annotations

import os
import threading

pid: int
"""The process."""
main_thread: threading.Thread
"""The thread in which signal handlers run."""


def _look() -> None:
    global pid, main_thread
    pid, main_thread = os.getpid(), threading.main_thread()


_look()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_look)
