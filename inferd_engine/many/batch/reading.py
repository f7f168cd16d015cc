"""One thread that reads the answers of a batch, once they have begun.

Goal: a thread for each request is wanted until its headers are there, and no longer; after that one
thread reads for all (``many/merging``).

Nobody sees the tokens of a batch, and a read costs more than all parsing.  So the reader rests when
nothing is left to read, for a sixteenth of what an answer takes on average, at most a tenth of a
second; and what came meanwhile is read at once.  It learns of an end so much later, which is three
percent of an answer's time on average.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from inferd_engine.errors import GenerateError, InternalError, RequestCancelledError
from inferd_engine.events import Done
from inferd_engine.many.merging.merge import Merge
from inferd_engine.stream.gathering import keep_partial, rest_after

if TYPE_CHECKING:
    from inferd_engine.events import Completion, Event
    from inferd_engine.many.batch.tasks import Task
    from inferd_engine.many.batch.threads import Ended
    from inferd_engine.stream.token_stream import TokenStream

_SLICE = 0.1  # seconds after which to see whether somebody has closed a stream
_WEIGHT = 0.1  # of the newest answer, in what they take on average


class Reader:
    """Read answers to their ends; ``run()`` is the life of its thread.

    Args:
        ended: Is told what came of a task.
    """

    def __init__(self, ended: Ended) -> None:
        self._ended = ended
        self._merge = Merge()
        self._under_way: dict[TokenStream, tuple[Task, list[Event]]] = {}
        self._average = 0.0  # seconds that an answer takes
        self._adding = threading.RLock()  # whoever closes finds what is added, or is seen by that
        self._is_closed = False
        self._end_of_all: GenerateError = RequestCancelledError("the batch is over")

    def start(self) -> None:
        """Start the thread.

        Raises:
            InternalError: None can be started.
        """
        try:
            threading.Thread(target=self.run, name="inferd-engine-read", daemon=True).start()
        except RuntimeError as error:
            raise InternalError(f"no thread can be started that reads: {error}") from error

    def add(self, task: Task, stream: TokenStream) -> None:
        """Read an answer; from any thread.  One that comes too late is closed, and told of."""
        with self._adding:
            if not self._is_closed:
                self._under_way[stream] = task, []
                self._merge.add(stream)
                return
        stream.close()
        self._ended(task, self._end_of_all)

    def run(self) -> None:
        """Read what there is, until it is closed."""
        try:
            self._read()
        except Exception as error:  # noqa: BLE001 - each of those that wait for it is told
            failure = InternalError(f"reading the answers failed: {type(error).__name__}: {error}")
            failure.__cause__ = error
            self._end_of_all = failure
            self.close()
            for task, _ in list(self._under_way.values()):
                self._ended(task, failure)
        finally:
            self.close()

    def _read(self) -> None:
        while not self._is_closed:
            rest = rest_after(self._average)
            found = self._merge.poll(0.0 if rest and self._under_way else _SLICE)
            if found is not None:
                self._take(*found)
                continue
            for stream in [stream for stream in list(self._under_way) if stream.cancelled]:
                self._end(stream, RequestCancelledError("somebody has ended the request"))
            if rest and self._under_way:
                time.sleep(rest)

    def _take(self, stream: TokenStream, event: Event | GenerateError) -> None:
        if isinstance(event, GenerateError):
            self._end(stream, event)
        elif isinstance(event, Done):
            self._end(stream, None)
        else:
            self._under_way[stream][1].append(event)

    def _end(self, stream: TokenStream, error: GenerateError | None) -> None:
        """Tell how an answer has ended."""
        task, seen = self._under_way.pop(stream)
        outcome: Completion | GenerateError
        try:
            if error is not None:
                keep_partial(error, seen)
                raise error
            outcome = stream._whole(seen)  # noqa: SLF001 - one of us
            took = 0.0 if outcome.stats is None else outcome.stats.duration
            self._average += (took - self._average) * (_WEIGHT if self._average else 1.0)
        except GenerateError as failure:
            outcome = failure.with_traceback(None)
        self._ended(task, outcome)

    def close(self) -> None:
        """Close all that is read, and send the thread away; do not wait."""
        with self._adding:
            self._is_closed = True
        self._merge.close()
