"""What each stage of an event's way costs, and the whole way: 20 000 events, 64 KiB a read.

The stages' figures add up to about the whole; where they do not, something is missing here.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest
from streams import READ, chunk, cut, events
from upstream import event

import inferd_engine as ie
from inferd_engine.stream.buffer import EventBuffer
from inferd_engine.wire.answer.likeness import Likeness
from inferd_engine.wire.http.chunks import chunked_decoder
from inferd_engine.wire.openai.answer import Answer
from inferd_engine.wire.sse import SSEDecoder

COUNT = 20_000
PAYLOAD = chunk(" hello")
BODY = cut(b"".join(events(COUNT, PAYLOAD)))
CHUNKED = cut(event(" hello") * COUNT)
EACH = READ // len(events(1, PAYLOAD)[0])  # events in a read
RUN = events(1, PAYLOAD)[0] * EACH
DELTA = msgspec.defstruct("Delta", [("content", str)])
CHOICE = msgspec.defstruct("Choice", [("delta", DELTA)])
CHUNK = msgspec.defstruct("Chunk", [("choices", tuple[CHOICE])])
DELTAS = [ie.TextDelta(" hello")] * EACH


def dechunk():
    """HTTP's chunks taken apart."""
    decoder = chunked_decoder()
    return sum(len(decoder.feed(read)) for read in CHUNKED)


def frame():
    """Runs of plain events found and joined."""
    decoder = SSEDecoder(keep_unknown=True)
    return sum(len(piece) for read in BODY for piece in decoder.runs(read))


def compare():
    """Events compared with one before, their texts decoded, and events made of them."""
    whole = Answer()
    likeness = Likeness("native")
    likeness.learn(RUN[: len(RUN) // EACH], whole.read_plain)
    return sum(len(likeness.take(RUN)[0]) for _ in range(COUNT // EACH))


def answer():
    """All that an answer does with what comes."""
    whole = Answer()
    return sum(len(whole.feed(read)) for read in BODY)


def hand_over():
    """Batches through the buffer, from one thread to another."""
    buffer = EventBuffer(512)

    def put():
        for _ in range(COUNT // EACH):
            buffer.hand_over(list(DELTAS), READ, lambda: False)

    threading.Thread(target=put).start()
    seen = 0
    while seen < COUNT // EACH * EACH:
        buffer.get()
        seen += len(buffer.ready)
    return seen


def loop():
    """A list's events, one by one through a Python method, as a stream gives them."""

    class Stream:
        def __init__(self):
            self.events = iter(DELTAS * (COUNT // EACH))

        def __iter__(self):
            return self

        def __next__(self):
            for delta in self.events:
                return delta
            raise StopIteration

    return sum(1 for _ in Stream())


def floor():
    """For comparison: bytes.split and msgspec, an event at a time."""
    decode = msgspec.json.Decoder(CHUNK).decode
    rest, count = b"", 0
    for read in BODY:
        *found, rest = (rest + read).split(b"\n\n")
        for part in found:
            count += len(decode(part[6:]).choices[0].delta.content)
    return count


STAGES = {
    "HTTP chunks": dechunk,
    "SSE": frame,
    "alike": compare,
    "answer": answer,
    "hand-over": hand_over,
    "the loop": loop,
    "split + msgspec": floor,
}


@pytest.mark.parametrize("stage", STAGES)
def test_stage(benchmark, stage):
    """One stage alone."""
    benchmark.group = "stages, 290 B"
    benchmark.name = stage
    benchmark.extra_info["events"] = COUNT
    assert benchmark.pedantic(STAGES[stage], rounds=5, warmup_rounds=1, iterations=1)


@pytest.fixture(scope="module")
def address():
    """An upstream in a process of its own."""
    script = Path(__file__).with_name("upstream.py")
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True
    ) as upstream:
        yield upstream.stdout.readline().strip()
        upstream.kill()


@pytest.mark.parametrize("buffer", [512, 0])
def test_whole_way(benchmark, address, buffer):
    """From the socket to the loop, the request included."""
    benchmark.group = "the whole way, 290 B"
    benchmark.name = f"buffer={buffer}"
    benchmark.extra_info["events"] = COUNT
    model = f"burst:{COUNT}:290"
    with ie.OpenAiCompat(base_url=address, api_key="", buffer=buffer, model=model) as backend:
        count = benchmark.pedantic(
            lambda: sum(1 for _ in backend.stream("x")), rounds=5, warmup_rounds=1, iterations=1
        )
    assert count == COUNT + 1
