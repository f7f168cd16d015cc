"""Streams of every kind, read, merged, closed and cancelled at random: each ends in one way.

``python tests/many/test_merge_torture.py SECONDS [SEED]`` goes on for as long as one likes, with
exceptions that a signal's handler raises and forks beside; ``tests`` and ``tests/servers`` have to
be in ``PYTHONPATH``.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import random
import re
import signal
import sys
import threading
import time
import warnings
from collections import Counter
from pathlib import Path

from anthropic_messages import begun, end, stop

import inferd_engine as ie
from inferd_engine.testing import DONE, Cut, Pause, Reply, Reset, Stall, Upstream, chunk

SECONDS = 3.0  # in the suite
SEED = 17
MOST = 24  # streams of a merge
TIMEOUT = 1.0  # seconds of every request: what stalls ends by that
ODD = ["\n", '"', "\\", "é", "€ ", "😀", "\u2028", "data: ", "\n\n"]
PACKAGE = str(Path(ie.__file__).parent)


def texts(dice):
    """Give the pieces of an answer's text."""
    count = dice.choice([1, 3, 30, 300])
    odd = dice.choice([0.0, 0.0, 0.1])
    return [dice.choice(ODD) if dice.random() < odd else f"{n} " for n in range(count)]


def cut_anywhere(dice, pieces):
    """Cut events elsewhere than between them."""
    body = b"".join(pieces)
    cuts = sorted(dice.randrange(len(body)) for _ in range(dice.choice([1, 5, 50])))
    return [body[i:j] for i, j in itertools.pairwise([0, *cuts, len(body)]) if i < j]


def answer(dice, *, is_messages=False):
    """Give a reply and the text that it has if it is whole; None if it cannot be."""
    words = texts(dice)
    framing = dice.choice(["chunked", "chunked", "close", "length"])
    if is_messages:
        steps, ending = begun(*words), [stop(0), *end()]
    else:
        steps, ending = [*map(chunk, words)], [chunk(finish_reason="stop"), DONE]
    fate, is_cut, delay = dice.random(), dice.random() < 0.4, dice.choice([0.0, 0.0, 0.001])
    way_out = dice.choice([Cut(), Reset(), Stall(), Pause(0.01)])
    if fate < 0.6:
        steps += ending
    if is_cut:
        steps = cut_anywhere(dice, steps)
    if delay and len(steps) < 100:
        steps = [step for piece in steps for step in (Pause(delay), piece)]
    if fate < 0.6:
        return Reply(steps, framing=framing), "".join(words)
    return Reply([*steps, way_out], framing=framing if fate < 0.9 else "close"), None


class Both(Upstream):
    """An upstream of both protocols; the prompt is what its answer is thrown with."""

    def _reply_to(self, received):
        number = int(re.search(r"[0-9]+", str(received.json["messages"]))[0])
        is_messages = received.path.endswith("/messages")
        try:
            return answer(random.Random(number), is_messages=is_messages)[0]
        except ValueError:  # of known length, and without an end
            return Reply([], 500)


class StruckError(BaseException):
    """What the handler of a signal raises."""


class Torture:
    """Read streams at random, and check how each of them ends."""

    def __init__(self, backends, dice):
        self.backends = backends
        self.dice = dice
        self.counts = Counter()
        self.closed = set()  # by somebody

    def stream(self, wanted):
        """Open a stream; keep the text that it should have."""
        kind = self.dice.choice(["http", "http", "http", "http", "mock", "generator"])
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
        is_messages = isinstance(backend, ie.Anthropic)
        wanted[stream] = answer(random.Random(number), is_messages=is_messages)[1]
        return stream, token

    def close(self, stream):
        """Close a stream, and keep in mind that somebody did."""
        self.closed.add(stream)
        stream.close()

    def streams(self, wanted):
        """Open some streams; give these, and tokens of theirs, each with its stream."""
        streams, tokens = [], []
        while len(streams) < self.dice.randrange(1, MOST):
            with contextlib.suppress(ie.GenerateError):  # refused or cut before the first token
                stream, token = self.stream(wanted)
                streams.append(stream)
                tokens += [(token, stream)] if token else []
        return streams, tokens

    def disturb(self, merge, streams, tokens, over):
        """Close, cancel and add, from another thread."""
        dice = random.Random(self.dice.random())
        while not over.wait(dice.random() * 0.02):
            fate = dice.random()
            if fate < 0.4:
                self.close(dice.choice(streams))
                self.counts["closes"] += 1
            elif fate < 0.6 and tokens:
                token, stream = dice.choice(tokens)
                self.closed.add(stream)
                token.cancel()
                self.counts["cancels"] += 1
            elif fate < 0.62:
                self.closed.update(streams)
                merge.close()
            elif fate < 0.8:
                late = ie.Mock("late").stream("x")
                try:
                    merge.add(late)
                except RuntimeError:  # closed meanwhile
                    late.close()

    # --- one thread for each -----------------------------------------------------------------

    def read_some(self, stream, seed, given):
        """Read in this thread: to the end, or to somewhere; at times it stays away."""
        dice = random.Random(seed)
        try:
            while dice.random() > 0.002:
                if dice.random() < 0.01:
                    time.sleep(dice.choice([0.001, 0.05]))
                if stream._buffer is not None and dice.random() < 0.1:
                    event = stream.poll(dice.choice([0.0, 0.001, 1.0]))
                    if event is None:
                        if stream.ended:
                            return
                        continue
                else:
                    event = next(stream, None)
                    if event is None:
                        return
                given.append(event)
                if dice.random() < 0.0005:
                    self.close(stream)
        except ie.GenerateError as error:
            given.append(error)

    def read_in_threads(self, streams, given):
        """Read some streams each in a thread of its own; give those that have not ended."""
        readers = []
        for stream in streams:
            arguments = (stream, self.dice.random(), given.setdefault(stream, []))
            readers.append(threading.Thread(target=self.read_some, args=arguments))
            readers[-1].start()
        for reader in readers:
            reader.join()
        self.counts["read in a thread"] += len(readers)
        return [stream for stream in streams if not stream.ended]

    # --- one for all -------------------------------------------------------------------------

    def round(self, *, is_wild):
        """Read some streams, merge what is left of them, and check their ends."""
        wanted, given = {}, {}
        self.closed = set()
        streams, tokens = self.streams(wanted)
        if not streams:
            return
        left = [stream for stream in streams if self.dice.random() < 0.7]
        left += self.read_in_threads([one for one in streams if one not in left], given)
        over = threading.Event()
        is_disturbed = self.dice.random() < 0.7
        with ie.merge(left) as merge:
            thread = threading.Thread(
                target=self.disturb, args=(merge, [*streams], [*tokens], over)
            )
            if is_disturbed:
                thread.start()
            is_struck = is_wild and self.dice.random() < 0.3
            try:
                with self.signals() if is_struck else contextlib.nullcontext():
                    self.read_merged(merge, streams, given, is_disturbed, is_wild)
            finally:
                over.set()
                if is_disturbed:
                    thread.join()
        for stream in streams:
            self.check(stream, wanted[stream], given.get(stream, []))

    def read_merged(self, merge, streams, given, is_disturbed, is_wild):
        """Read them all, whatever strikes."""
        while True:
            try:
                if merge._rounds.is_closed or not merge:
                    return
                pair = merge.poll(self.dice.choice([0.0, 0.001, 1.0]))
            except StruckError:
                self.counts["struck"] += 1
                continue
            if pair is None:
                continue
            given.setdefault(pair[0], []).append(pair[1])
            if is_disturbed and self.dice.random() < 0.001:
                self.close(self.dice.choice(streams))
            if is_wild and self.dice.random() < 0.0002:
                self.fork(merge, streams)

    @contextlib.contextmanager
    def signals(self):
        """Have a handler raise, over and over, wherever the package is."""

        def strike(_, frame):
            if frame.f_code.co_filename.startswith(PACKAGE) and not is_finalizing(frame):
                raise StruckError

        before = signal.signal(signal.SIGALRM, strike)
        signal.setitimer(signal.ITIMER_REAL, 0.001, self.dice.choice([0.0003, 0.003]))
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def fork(self, merge, streams):
        """Fork a child that drops all it has."""
        pid = os.fork()
        if not pid:
            signal.setitimer(signal.ITIMER_REAL, 0)
            code = 1
            try:
                merge.close()
                for stream in streams:
                    stream.close()
                with contextlib.suppress(ie.InternalError):
                    raise AssertionError(merge.poll(0))  # it gives nothing
                del merge, streams
                gc.collect()
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        assert status == 0
        self.counts["forks"] += 1

    def check(self, stream, text, events):
        """A stream is whole and finished, or failed with its error last, or closed."""
        assert stream.ended
        last = events[-1] if events else None
        ends = [event for event in events if isinstance(event, (ie.Done, ie.GenerateError))]
        said = "".join(event.delta for event in events if isinstance(event, ie.TextDelta))
        if stream.cancelled:
            assert stream in self.closed  # else it has left without a word
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
            assert text is None or text.startswith(said)
            self.counts["failed"] += 1
            self.counts[type(last).__name__] += 1
        assert stream._reading.released_at is not None or stream._worker is not None
        self.counts["events"] += len(events)


def is_finalizing(frame):
    """Say whether a frame belongs to a finalizer or a callback of a collection, or lock."""
    while frame is not None:
        if frame.f_code.co_name in ("__del__", "close", "_settle", "__exit__"):
            return True
        frame = frame.f_back
    return False


def torture(seconds, seed, *, is_wild=False):
    """Go on for so long; give what was counted."""
    dice = random.Random(seed)
    until = time.monotonic() + seconds
    with contextlib.ExitStack() as stack:
        backends = []
        for tls in (False, True):
            upstream = stack.enter_context(Both(tls=tls))
            for buffer in (0, 512):
                settings = {"base_url": upstream.url, "timeout": TIMEOUT, "buffer": buffer}
                if tls:
                    settings["verify"] = upstream.ca_file
                backends += [
                    stack.enter_context(ie.OpenAiCompat(api_key="", **settings)),
                    stack.enter_context(ie.Anthropic(api_key="k", **settings)),
                ]
        it = Torture(backends, dice)
        while time.monotonic() < until:
            it.round(is_wild=is_wild)
            it.counts["rounds"] += 1
    return it.counts


def test_torture():
    """However streams are closed, each ends in one way, and what is finished is whole."""
    counts = torture(SECONDS, SEED)
    assert counts["rounds"] > 0
    assert counts["closed"] + counts["finished"] + counts["failed"] > 0


if __name__ == "__main__":
    SEED = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns() % 10**6
    warnings.simplefilter("ignore", DeprecationWarning)  # forks beside threads
    counted = torture(float(sys.argv[1]), SEED, is_wild=hasattr(os, "fork"))
    sys.stdout.write(f"{SEED} {dict(counted)}\n")
