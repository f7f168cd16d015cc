"""A batch behind limits that are LiteLLM's: so many requests under way for a key, and no more.

What is over the limit is refused with 429 and ``Retry-After``, which is the length of LiteLLM's
window whatever the limit was: a minute, unless its environment says otherwise, as here.
"""

from __future__ import annotations

import statistics
import threading
import time

import pytest

import inferd_engine as ie
from inferd_engine.testing import DONE, Reply, chunk
from inferd_engine.testing.steps import Action

pytestmark = pytest.mark.timeout(240)  # the proxy may have to start first

BEARS = 12
ANSWERS = 1.0  # seconds that an answer takes
PROMPTS = 150


class Room(Action):
    """Answers behind the proxy: how many are under way."""

    def __init__(self):
        self.lock = threading.Lock()
        self.now = 0
        self.seen = []

    def reply(self):
        return Reply([chunk("a"), self, chunk(finish_reason="stop"), DONE])

    def take(self, peer):
        with self.lock:
            self.now += 1
            self.seen.append(self.now)
        try:
            peer.wait(ANSWERS)
        finally:
            with self.lock:
                self.now -= 1


@pytest.mark.parametrize("concurrency", ["auto", 3, BEARS, 60])
def test_a_batch_behind_limits(limited, upstream, concurrency):
    """All are answered, whatever was asked for; "auto" finds what is borne, and is seldom refused.

    With -s it says its figures, those of docs/batch.md.
    """
    room = Room()
    upstream.reply = room.reply()
    prompts = [f"prompt {number}" for number in range(PROMPTS)]
    limits = []
    retry = ie.Retry(attempts=1000)
    since = time.monotonic()
    with limited.backend("openai", api_key=f"sk-{BEARS}") as backend:
        with backend.map(prompts, concurrency=concurrency, retry=retry) as batch:
            results = []
            for result in batch:
                results.append(result)
                limits.append(batch._batch.pace.limit)
    seconds = time.monotonic() - since
    refused = sum(result.attempts - 1 for result in results)
    late = sorted(limits[PROMPTS // 2 :])
    print(  # noqa: T201 - the figures
        f"\nconcurrency={concurrency}: {seconds:.0f} s, {refused} refusals, "
        f"from {late[0]} to {late[-1]} at once in the second half, median {statistics.median(late)}"
    )
    assert sorted(result.index for result in results) == list(range(PROMPTS))
    assert all(result.completion is not None for result in results)
    assert len(room.seen) == PROMPTS  # each was answered once
    assert max(room.seen) <= BEARS
    if concurrency == "auto":
        assert BEARS / 2 <= statistics.median(late) <= BEARS + 2
        assert refused < PROMPTS / 3
