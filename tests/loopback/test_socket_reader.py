"""Reading from a socket: with the C part and in Python alike, and in time."""

from __future__ import annotations

import errno
import json
import signal
import socket
import ssl
import struct
import sys
import threading
import time

import pytest
from loopback.conftest import SOON

import inferd_engine as ie
from inferd_engine.net import failures, response, socket_reader as module
from inferd_engine.net.deadlines import Deadlines
from inferd_engine.net.exchange import Exchange
from inferd_engine.net.socket_reader import BLOCK, PythonReader, socket_reader
from inferd_engine.testing import Reply, Stall, chunk
from inferd_engine.wire.http.chunks import chunked_decoder
from inferd_engine.wire.sse import IMPLEMENTATION
from inferd_engine.wire.sse.alike import ALIKE

IS_NATIVE = IMPLEMENTATION == "native" and sys.platform != "win32"


@pytest.fixture
def ends():
    """Give two sockets that are connected: the upstream's, and ours."""
    upstream, ours = socket.socketpair()
    with upstream, ours:
        yield upstream, ours


@pytest.fixture(params=["best", "python"])
def reader_of(request):
    """Give the way to make a reader: the best here, or the one that works everywhere."""
    return socket_reader if request.param == "best" else PythonReader


def test_the_best_there_is(ends):
    """The C part reads plain sockets; Python reads what another package may have replaced."""
    assert isinstance(socket_reader(ends[1], None), PythonReader) is not IS_NATIVE


def test_a_socket_that_is_not_the_interpreter_s():
    """A ``recv`` that somebody has put in place is called."""

    class Recorded(socket.socket):
        def recv(self, *arguments):
            return b"recorded " + super().recv(*arguments)

    upstream, ours = socket.socketpair()
    with upstream, Recorded(fileno=ours.detach()) as recorded:
        upstream.sendall(b"bytes")
        assert socket_reader(recorded, None).read(BLOCK, SOON) == b"recorded bytes"


def test_a_socket_inside_of_something_else(ends):
    """A wrapper that hands everything on to its socket is read through."""

    class Wrapper:
        def __getattr__(self, name):
            return getattr(ends[1], name)

    ends[0].sendall(b"bytes")
    assert socket_reader(Wrapper(), None).read(BLOCK, SOON) == b"bytes"


def test_tls(ends):
    """Nobody reads past a TLS layer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    with context.wrap_socket(ends[1], do_handshake_on_connect=False) as wrapped:
        assert isinstance(socket_reader(wrapped, None), PythonReader)


def test_bytes_as_they_come(ends, reader_of):
    """What one receive gives is given at once; nothing yet is None, the end is empty."""
    upstream, ours = ends
    reader = reader_of(ours, None)
    for data in (b"a", b"b" * 4000):
        upstream.sendall(data)
        assert reader.read(BLOCK, SOON) == data
    assert reader.read(BLOCK, 0) is None
    assert reader.read(BLOCK, -1.0) is None
    begun = time.monotonic()
    assert reader.read(BLOCK, 0.02) is None
    assert time.monotonic() - begun >= 0.02
    upstream.sendall(b"abcd")
    assert reader.read(3, SOON) == b"abc"
    assert reader.taken == 3
    assert reader.read(3, SOON) == b"d"
    assert reader.read(BLOCK, 0) is None
    assert reader.taken == 0
    upstream.close()
    assert reader.read(BLOCK, SOON) == b""


def test_chunks(ends, reader_of):
    """A body is given out of its framing; framing alone is nothing yet, the end is empty."""
    upstream, ours = ends
    chunks = chunked_decoder()
    reader = reader_of(ours, chunks)
    for data, body in [
        (b"5\r\nhello\r\n2\r\nw", b"hellow"),
        (b"o", b"o"),
        (b"\r\n", None),
        (b"3\r", None),
        (b"\nrld", b"rld"),
        (b"\r\n0\r\nA: b\r\n", None),
    ]:
        upstream.sendall(data)
        assert reader.read(BLOCK, SOON) == body
        assert reader.taken == len(data)
        assert not chunks.is_done
    assert reader.read(BLOCK, 0) is None
    assert reader.taken == 0
    upstream.sendall(b"\r\n")
    assert reader.read(BLOCK, SOON) == b""
    assert chunks.is_done
    assert not chunks.surplus


def test_the_end_comes_with_the_last_bytes(ends, reader_of):
    """The decoder knows the end, and what came after it, as soon as that has been read."""
    upstream, ours = ends
    chunks = chunked_decoder()
    upstream.sendall(b"2\r\nab\r\n0\r\n\r\nHTTP/1.1 200 OK")
    assert reader_of(ours, chunks).read(BLOCK, SOON) == b"ab"
    assert chunks.is_done
    assert chunks.surplus


class Apart(socket.socket):
    """A socket that somebody has put in place."""

    def recv(self, *arguments):
        return super().recv(*arguments)


EVENT = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
FRAMED = b"%x\r\n%s\r\n" % (len(EVENT), EVENT)


def read_texts(texts):
    """Read them, as strictly as is done."""
    return json.loads(bytes(texts).decode())


class Plain:
    """What such events are like."""

    def __init__(self):
        head, _, tail = EVENT.partition(b'a"}')
        self.alike = ALIKE["native"](head, b'"}' + tail, b"")
        self.decode = read_texts

    def have_found(self, _):
        """They say nothing to it."""


@pytest.fixture(params=[socket.socket, Apart])
def short_way(request):
    """Give the other end of a connection, a reader, and its short way."""
    if not IS_NATIVE:
        pytest.skip("there is no C part")
    upstream, ours = socket.socketpair()
    with upstream, request.param(fileno=ours.detach()) as ours:
        reader = socket_reader(ours, chunked_decoder())
        yield upstream, reader, reader.short_way(Plain())


def test_plain_events_come_the_short_way(short_way):
    """Whole events that are alike are given as what they say, with how much that was."""
    upstream, _, way = short_way
    upstream.sendall(FRAMED * 2)
    assert way.read(SOON) == [{"delta": "a"}] * 2
    assert way.received == way.bytes == 2 * len(EVENT)
    assert (way.events, way.has_left) == (2, False)
    assert way.read(0) is None
    assert not way.has_left
    upstream.sendall(FRAMED[:1])  # framing, so far
    assert way.read(SOON) is None
    assert not way.has_left
    upstream.sendall(FRAMED[1:])
    assert way.read(SOON) == [{"delta": "a"}]
    assert (way.bytes, way.events) == (3 * len(EVENT), 3)


@pytest.mark.parametrize(
    ("what", "body"),
    [
        (FRAMED + b"0\r\n\r\n", EVENT),  # the last bytes of a body
        (FRAMED + FRAMED[:9], EVENT + EVENT[:5]),
        (b"2\r\n\n\n\r\n" + FRAMED, b"\n\n" + EVENT),
        (FRAMED.replace(b'"a"', b'"\xff"'), EVENT.replace(b'"a"', b'"\xff"')),  # nobody can read it
        (b"0\r\n\r\n", b""),
    ],
)
def test_whatever_else_comes_is_left(short_way, what, body):
    """All of it is what the reader gives next, as if nothing had been tried."""
    upstream, reader, way = short_way
    upstream.sendall(what)
    assert way.read(SOON) is None
    assert way.has_left
    assert way.bytes == way.events == 0
    assert reader.read(BLOCK, 0) == body
    assert not way.has_left


def test_an_end_and_an_error_are_left(short_way):
    """They are what the reader tells next."""
    upstream, reader, way = short_way
    upstream.sendall(FRAMED + b"x")
    assert way.read(SOON) is None
    assert reader.read(BLOCK, 0) == EVENT
    with pytest.raises(ValueError, match="hexadecimal"):
        reader.read(BLOCK, 0)


def test_a_cut_is_left(short_way):
    """A connection that ends is no event."""
    upstream, reader, way = short_way
    upstream.close()
    assert way.read(SOON) is None
    assert way.has_left
    assert reader.read(BLOCK, 0) == b""


def test_what_a_socket_of_somebody_s_raises_is_left(short_way):
    """Whatever it is, the reader raises it, whose caller knows what to make of it."""
    _, reader, way = short_way
    if isinstance(reader, PythonReader):
        reader.recv = lambda _: {}["no such record"]
        assert way.read(SOON) is None
        assert way.has_left
        with pytest.raises(KeyError):
            reader.read(BLOCK, 0)


def test_a_reset_is_left():
    """An error of the connection is raised by the reader, whose caller knows what to make of it."""
    if not IS_NATIVE:
        pytest.skip("there is no C part")
    for kind in (socket.socket, Apart):
        with socket.create_server(("127.0.0.1", 0)) as server:
            client = socket.create_connection(server.getsockname())
            upstream, _ = server.accept()
        upstream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with kind(fileno=client.detach()) as ours:
            reader = socket_reader(ours, None)
            way = reader.short_way(Plain())
            upstream.close()
            assert way.read(SOON) is None
            assert way.has_left
            with pytest.raises(ConnectionResetError):
                reader.read(BLOCK, 0)


def test_a_cut_is_no_end(ends, reader_of):
    """Where the peer ends too early nothing more comes, and the decoder says what is missing."""
    upstream, ours = ends
    chunks = chunked_decoder()
    reader = reader_of(ours, chunks)
    upstream.sendall(b"5\r\nhe")
    upstream.close()
    assert reader.read(BLOCK, SOON) == b"he"
    assert reader.read(BLOCK, SOON) == b""
    assert not chunks.is_done


@pytest.mark.parametrize("before", [b"", b"2\r\nab\r\n"])
def test_mistakes(ends, reader_of, before):
    """A mistake is told after what came before it, without waiting for more."""
    upstream, ours = ends
    reader = reader_of(ours, chunked_decoder())
    upstream.sendall(before + b"+5\r\nhello\r\n")
    if before:
        assert reader.read(BLOCK, SOON) == b"ab"
    for _ in range(2):
        with pytest.raises(ValueError, match="hexadecimal"):
            reader.read(BLOCK, SOON)


def test_closed(ends, reader_of):
    """A socket that was closed meanwhile is told from one that says nothing."""
    reader = reader_of(ends[1], None)
    ends[1].close()
    with pytest.raises(OSError) as caught:  # noqa: PT011 - its number is looked at
        reader.read(BLOCK, SOON)
    assert caught.value.errno == errno.EBADF


def test_larger_than_the_block(ends, reader_of):
    """What is more than a block comes in several reads."""
    upstream, ours = ends
    upstream.settimeout(SOON)
    sender = threading.Thread(target=upstream.sendall, args=(b"x" * (BLOCK + 1),))
    sender.start()
    reader = reader_of(ours, None)
    got = b""
    while len(got) <= BLOCK:
        part = reader.read(BLOCK, SOON)
        assert 0 < len(part) <= BLOCK
        got += part
    sender.join()
    assert got == b"x" * (BLOCK + 1)


class Halting(socket.socket):
    """A socket that gives three bytes at a time, as TLS gives one record."""

    def recv(self, size):
        return super().recv(min(size, 3))


@pytest.mark.parametrize("kind", [socket.socket, Halting])
def test_what_has_come_is_given_when_time_is_up(kind):
    """Framing that comes by itself does not hide the body behind it; nothing is waited for."""
    upstream, ours = socket.socketpair()
    with upstream, kind(fileno=ours.detach()) as sock, sock.makefile("rb", buffering=0) as raw:
        file = response._GuardedFile(raw, sock, Exchange(Deadlines(total=0.0)))
        file.expect_body(chunked_decoder())
        upstream.sendall(b"5\r\nhello\r\n" + b"1;%b\r\n!\r\n" % (b"x" * 100))
        got = b""
        with pytest.raises(TimeoutError):
            while True:
                got += file.receive(BLOCK, None)
        assert got == b"hello!"


@pytest.mark.parametrize("kind", [socket.socket, Halting])
def test_a_flood_of_framing_does_not_outlast_the_deadline(kind, monkeypatch):
    """What is taken when time is up is bounded by what came, not by what of it is body."""
    monkeypatch.setattr(response, "_GRACE", 1000)
    upstream, ours = socket.socketpair()
    with upstream, kind(fileno=ours.detach()) as sock, sock.makefile("rb", buffering=0) as raw:
        file = response._GuardedFile(raw, sock, Exchange(Deadlines(total=0.0)))
        file.expect_body(chunked_decoder())
        reads = 0
        with pytest.raises(TimeoutError):
            while True:
                upstream.sendall(b"1;%b\r\n!\r\n" % (b"x" * 100))
                file.receive(BLOCK, None)
                reads += 1
        assert 0 < reads <= 10


@pytest.mark.parametrize("way", ["best", "python"])
def test_the_kernel_s_own_timeout(ends, monkeypatch, way):
    """A peer that the kernel gave up is a broken connection, and no deadline of ours."""
    exchange = Exchange(Deadlines(idle=60.0))

    class Gone(socket.socket):
        def recv(self, *_):
            raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")

    sock = ends[1]
    if way == "best" and IS_NATIVE:
        path = "inferd_engine.net._socket_reader_native._read"
        monkeypatch.setattr(path, lambda *_: -errno.ETIMEDOUT)
    else:
        sock = Gone(fileno=sock.detach())
    with sock, pytest.raises(TimeoutError) as caught:
        socket_reader(sock, None).read(BLOCK, SOON)
    told = failures.mapped(caught.value, exchange, "http://here/v1")
    assert isinstance(told, ie.TransportError)
    assert "Connection timed out" in str(told)
    assert isinstance(failures.mapped(TimeoutError("late"), exchange, "x"), ie.DeadlineError)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs signals to threads")
def test_a_storm_of_signals_outlasts_no_deadline(ask, buffer):
    """Signals that interrupt the waiting again and again do not begin its time anew."""
    backend = ask(Reply([chunk("a"), Stall()]), buffer=buffer, idle_timeout=0.2)
    raised, over, seen = [], threading.Event(), threading.Event()

    def consume():
        with backend.stream("x") as stream:
            try:
                list(stream)
            except ie.DeadlineError as error:
                raised.append(error)
        over.set()
        seen.wait(SOON)  # a thread that has ended cannot be sent a signal

    old = signal.signal(signal.SIGUSR1, lambda *_: None)
    thread = threading.Thread(target=consume)
    try:
        thread.start()
        end = time.monotonic() + SOON
        while not over.wait(0.001) and time.monotonic() < end:
            signal.pthread_kill(thread.ident, signal.SIGUSR1)
    finally:
        seen.set()
        backend.stop()
        thread.join()
        signal.signal(signal.SIGUSR1, old)  # not before: one that is on its way would kill us
    assert [error.phase for error in raised] == ["idle"]


def test_a_module_that_can_be_had_without_the_c_part(monkeypatch, ends):
    """The switch of the decoders is that of the reader too."""
    monkeypatch.setattr(module, "IMPLEMENTATION", "pure")
    assert isinstance(socket_reader(ends[1], None), PythonReader)
