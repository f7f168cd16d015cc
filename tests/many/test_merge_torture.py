"""Streams of every kind, merged, closed and cancelled at random: each ends in one of three ways.

``python tests/many/test_merge_torture.py SECONDS [SEED]`` goes on for as long as one likes.
"""

from __future__ import annotations

import contextlib
import random
import sys
import threading
import time
from collections import Counter

import inferd_engine as ie
from inferd_engine.testing import Cut, Pause, Reply, Reset, Stall, Upstream, chunk, text_reply

SECONDS = 3.0  # in the suite
SEED = 17
MOST = 24  # streams of a merge
TIMEOUT = 1.0  # seconds of every request: what stalls ends by that


def answer(dice):
    """Give a reply and the text that it has if it is whole; None if it cannot be."""
    words = [f"{number} " for number in range(dice.choice([1, 3, 30, 300]))]
    framing = dice.choice(["chunked", "close", "length"])
    fate = dice.random()
    if fate < 0.6:
        delay = dice.choice([0.0, 0.0, 0.001]) if len(words) < 100 else 0.0
        return text_reply(words, delay=delay, framing=framing), "".join(words)
    end = dice.choice([Cut(), Reset(), Stall(), Pause(0.01)])
    return Reply([*map(chunk, words), end], framing=framing if fate < 0.9 else "close"), None


class Torture:
    """Merge streams at random, and check how each of them ends."""

    def __init__(self, backends, dice):
        self.backends = backends
        self.dice = dice
        self.counts = Counter()

    def stream(self, wanted):
        """Open a stream; keep the text that it should have."""
        kind = self.dice.choice(["http", "http", "http", "mock", "generator"])
        token = ie.CancelToken() if self.dice.random() < 0.3 else None
        if kind != "http":
            words = [f"{number} " for number in range(self.dice.choice([1, 30]))]
            events = [*map(ie.TextDelta, words), ie.Done(ie.StopReason.END_TURN)]
            mock = ie.Mock(words, token_delay=self.dice.choice([0.0, 0.001]))
            source = iter(events)
            stream = (
                mock.stream("x", cancel=token)
                if kind == "mock"
                else mock.open_stream(source, cancel=token)
            )
            wanted[stream] = "".join(words)
            return stream, token
        backend = self.dice.choice(self.backends)
        number = self.dice.randrange(2**60)
        stream = backend.stream(str(number), cancel=token)
        wanted[stream] = answer(random.Random(number))[1]
        return stream, token

    def disturb(self, merge, streams, tokens, over):
        """Close, cancel and add, from another thread."""
        dice = random.Random(self.dice.random())
        while not over.wait(dice.random() * 0.02):
            fate = dice.random()
            if fate < 0.4:
                dice.choice(streams).close()
            elif fate < 0.6 and tokens:
                dice.choice(tokens).cancel()
            elif fate < 0.62:
                merge.close()
            elif fate < 0.8:
                late = ie.Mock("late").stream("x")
                try:
                    merge.add(late)
                except RuntimeError:  # closed meanwhile
                    late.close()

    def round(self):
        """Merge some streams, read them all, and check their ends."""
        wanted, streams, tokens, given = {}, [], [], {}
        while len(streams) < self.dice.randrange(1, MOST):
            with contextlib.suppress(ie.GenerateError):  # refused or cut before the first token
                stream, token = self.stream(wanted)
                streams.append(stream)
                tokens += [token] if token else []
        if not streams:
            return
        over = threading.Event()
        is_disturbed = self.dice.random() < 0.7
        with ie.merge(streams) as merge:
            thread = threading.Thread(
                target=self.disturb, args=(merge, [*streams], [*tokens], over)
            )
            if is_disturbed:
                thread.start()
            try:
                while merge and not merge._is_closed:
                    pair = merge.poll(self.dice.choice([0.0, 0.001, 1.0]))
                    if pair is None:
                        continue
                    given.setdefault(pair[0], []).append(pair[1])
                    if is_disturbed and self.dice.random() < 0.001:
                        self.dice.choice(streams).close()
            finally:
                over.set()
                if is_disturbed:
                    thread.join()
        for stream in streams:
            self.check(stream, wanted[stream], given.get(stream, []))

    def check(self, stream, text, events):
        """A stream is whole and finished, or failed with its error last, or closed."""
        assert stream.ended
        last = events[-1] if events else None
        ends = [event for event in events if isinstance(event, (ie.Done, ie.GenerateError))]
        said = "".join(event.delta for event in events if isinstance(event, ie.TextDelta))
        if stream.cancelled:
            assert ends == []
            assert text is None or text.startswith(said)
            self.counts["closed"] += 1
        elif stream.done is not None:
            assert ends in ([last], []), events[-3:]  # none if the merge was closed before it
            assert text is not None
            assert said == text or not ends
            self.counts["finished"] += 1
        else:
            assert ends in ([last], [])
            self.counts["failed"] += 1
        assert stream._reading.released_at is not None or stream._worker is not None
        self.counts["events"] += len(events)


def torture(seconds, seed):
    """Go on for so long; give what was counted."""
    dice = random.Random(seed)

    def answered(received):
        number = int(received.json["messages"][0]["content"])
        return answer(random.Random(number))[0]

    begun = time.monotonic()
    with contextlib.ExitStack() as stack:
        backends = []
        for tls in (False, True):
            upstream = stack.enter_context(Upstream(otherwise=answered, tls=tls))
            for buffer in (0, 512):
                settings = {"base_url": upstream.url, "api_key": "", "timeout": TIMEOUT}
                if tls:
                    settings["verify"] = upstream.ca_file
                backends.append(stack.enter_context(ie.OpenAiCompat(buffer=buffer, **settings)))
        it = Torture(backends, dice)
        while time.monotonic() - begun < seconds:
            it.round()
            it.counts["rounds"] += 1
    return it.counts


def test_torture():
    """However streams are closed, each ends in one way, and what is finished is whole."""
    counts = torture(SECONDS, SEED)
    assert counts["rounds"] > 0
    assert counts["closed"] + counts["finished"] + counts["failed"] > 0


if __name__ == "__main__":
    SEED = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns() % 10**6
    sys.stdout.write(f"{SEED} {dict(torture(float(sys.argv[1]), SEED))}\n")
