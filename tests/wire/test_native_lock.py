"""What the C part computes keeps the interpreter's lock: another thread would take it, for long."""

from __future__ import annotations

import sys
import threading

import pytest

from inferd_engine.wire.http.chunks import chunked_decoder
from inferd_engine.wire.sse import IMPLEMENTATION, SSEDecoder, utf8_truncate
from inferd_engine.wire.sse.alike import ALIKE

pytestmark = pytest.mark.skipif(IMPLEMENTATION == "pure", reason="there is no C part")
if not getattr(sys, "_is_gil_enabled", lambda: True)():
    pytest.skip("there is no lock", allow_module_level=True)
EVENT = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
CALLS = 20_000


def dechunk():
    chunks = chunked_decoder()
    framed = b"%x\r\n%s\r\n" % (len(EVENT), EVENT)
    return lambda: chunks.feed(framed)


def alike():
    head, _, tail = EVENT.partition(b'a"}')
    events = ALIKE["native"](head, b'"}' + tail, b"")
    assert bytes(events.texts(EVENT)) == b'[{"delta":"a"}]'
    return lambda: events.texts(EVENT)


def scan():
    decoder = SSEDecoder()
    return lambda: list(decoder.runs(b"id: 1\n" + EVENT))


def truncate():
    text = "é".encode() * 100
    return lambda: utf8_truncate(text, 99)


@pytest.mark.parametrize("make", [dechunk, alike, scan, truncate])
def test_no_other_thread_gets_in(make):
    """A thread that waits for the lock does not get it between calls, nor in the middle of one."""
    call, start, ran = make(), threading.Lock(), []
    start.acquire()

    def wait():
        with start:
            ran.append(True)

    thread = threading.Thread(target=wait)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(60)  # from now on nobody is made to hand the lock over
    try:
        thread.start()
        start.release()  # now it wants to go on, and needs the interpreter's lock for that
        for _ in range(CALLS):
            call()
        got_in = list(ran)
    finally:
        sys.setswitchinterval(interval)
        thread.join()
    assert not got_in
