"""Have a stream's worker read now, as the watcher does once its consumer has stayed away."""

from __future__ import annotations

import time

from inferd_engine.stream.worker import start_worker


def hire(stream):
    """Start a stream's worker if it has none yet, and give it."""
    while stream._worker is None:  # or for as long as the watcher is just doing so
        start_worker(stream._reading, stream._buffer, stream._consumer)
        time.sleep(0)
    return stream._worker
