"""Have a stream's worker read now, as the watcher does once its consumer has stayed away."""

from __future__ import annotations

from inferd_engine.stream.worker import start_worker


def hire(stream):
    """Start a stream's worker if it has none yet, and give it."""
    if stream._worker is None:
        start_worker(stream._reading, stream._buffer, stream._consumer)
    return stream._worker
