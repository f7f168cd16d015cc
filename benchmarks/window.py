"""What is measured while many streams come: from the last one's first event to the last event.

How requests are started and how answers end is left out of it, and told apart (``start_us``).  All
readers say the same here of every event: ``take(text)``.
"""

from __future__ import annotations

import os
import statistics
import sys
import threading
import time
from pathlib import Path

from pacer import FIRST

AT_ONCE = 32  # streams that are being started at a time


class Window:
    """Take the CPU of this process, the delay of every event, and the memory of a stream."""

    def __init__(self, streams: int, count: int) -> None:
        self._streams, self._wanted = streams, streams * (count - 1)
        self._asked, self._opened = 0, 0
        self._lock = threading.Lock()
        self._delays: list[int] = []
        self._memory, self._begun = resident(), time.process_time()
        self._cpu = (0.0, 0.0)

    def may_ask(self) -> bool:
        """Say whether one more stream may be started; then it counts as one that is."""
        if self._asked - self._opened >= AT_ONCE:
            return False
        self._asked += 1
        return True

    def take(self, text: object) -> None:
        """Take an event's text; what is no text, an end, is left out."""
        if text.__class__ is not str or not text:
            return
        if text == FIRST:
            with self._lock:
                self._opened += 1
                if self._opened == self._streams:
                    self._cpu = time.process_time(), 0.0
                    self._memory = resident() - self._memory
            return
        self._delays.append(time.monotonic_ns() - int(text))
        if len(self._delays) == self._wanted:
            self._cpu = self._cpu[0], time.process_time()

    def result(self) -> dict[str, float]:
        """Give the figures."""
        assert len(self._delays) == self._wanted, f"{len(self._delays)} events of {self._wanted}"
        delays, (start, end) = sorted(self._delays), self._cpu
        return {
            "cpu_us": (end - start) / len(delays) * 1e6,
            "median_us": statistics.median(delays) / 1000,
            "p99_us": delays[int(len(delays) * 0.99)] / 1000,
            "kib": self._memory / self._streams / 1024,
            "start_us": (start - self._begun) / self._streams * 1e6,
        }


def resident() -> int:
    """Give how many bytes of memory this process has; 0 where the system does not tell."""
    if sys.platform != "linux":
        return 0
    pages = Path("/proc/self/statm").read_text("ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
