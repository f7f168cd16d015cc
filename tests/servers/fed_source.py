"""A source of events that a test feeds."""

from __future__ import annotations

import queue
import threading
import time

import inferd_engine as ie


class Queued(ie.Source):
    """A source that somebody else feeds: no descriptor tells of its events."""

    can_wait = True

    def __init__(self, *events):
        self.events = queue.SimpleQueue()
        for event in events:
            self.events.put(event)
        self.readers = set()

    def read(self, give_up):
        self.readers.add(threading.current_thread().name)
        left = None if give_up is None else max(0.0, give_up - time.monotonic())
        try:
            event = self.events.get(timeout=left)
        except queue.Empty:
            return []
        return [] if event is None else [event]

    def cancel(self):
        self.events.put(None)
