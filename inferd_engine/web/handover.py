"""Chunks from a thread to an event loop: how a body is read under ASGI.

A thread of its own reads the body, because waiting for a model in the loop's pool of threads would
hold one of a few for as long as the model is silent: with 32 silent streams nothing else would run.
So a stream under ASGI has two threads, its worker and this one, both of which sleep while the
upstream is silent.  Each chunk is one call into the loop; a loop that does not come for them (its
client does not read) stops the thread after a few, and so the upstream.

The thread knows nothing of the ``Body``, so that dropping that can be seen.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_AHEAD = 16  # chunks: enough that a burst needs no wait for the loop, too few to matter in memory
_numbers = itertools.count(1)


class Handover:
    """Read chunks in a thread, and await them in the loop that this is made in.

    Args:
        chunks: Read by the thread alone.
        close: Makes ``chunks`` end; called when the loop is there no more.
    """

    def __init__(self, chunks: Iterator[bytes], close: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._chunks = chunks
        self._close = close
        self._room = threading.Semaphore(_AHEAD)
        self._stopped = False
        # The loop's own: no other thread touches these.
        self._items: deque[bytes | BaseException] = deque()
        self._arrived = asyncio.Event()
        name = f"inferd-engine-body-{next(_numbers)}"
        threading.Thread(target=self._read, name=name, daemon=True).start()

    async def get(self) -> bytes:
        """Wait for the next chunk.

        Raises:
            StopAsyncIteration: There are no more.
        """
        while not self._items:
            self._arrived.clear()
            await self._arrived.wait()
        item = self._items[0]
        if isinstance(item, BaseException):  # it stays: whoever asks again is told again
            raise item
        self._items.popleft()
        self._room.release()
        return item

    def stop(self) -> None:
        """Let the thread go; from any thread, and its chunks have been made to end before."""
        self._stopped = True
        self._room.release()

    def _read(self) -> None:
        end: BaseException = StopAsyncIteration()
        try:
            for chunk in self._chunks:
                self._room.acquire()
                if self._stopped:
                    break
                self._give(chunk)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is raised in the loop
            end = error
        self._give(end)

    def _give(self, item: bytes | BaseException) -> None:
        try:
            self._loop.call_soon_threadsafe(self._put, item)
        except RuntimeError:  # the loop is closed
            self._stopped = True
            self._close()

    def _put(self, item: bytes | BaseException) -> None:
        self._items.append(item)
        self._arrived.set()
