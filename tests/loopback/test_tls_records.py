"""Reading a burst of TLS records at once: as many reads as blocks, and each ending as ever."""

from __future__ import annotations

import contextlib
import signal
import socket
import ssl
import threading
import time

import pytest
import trustme
from loopback.conftest import SOON
from raw_server import RESET, RawServer, chunked, http_answer
from urllib3.util.ssltransport import SSLTransport
from urllib3.util.wait import wait_for_read

import inferd_engine as ie
from inferd_engine.net import response, tls_records
from inferd_engine.net.deadlines import Deadlines
from inferd_engine.net.exchange import Exchange
from inferd_engine.net.socket_reader import BLOCK, PythonReader, socket_reader
from inferd_engine.net.tls_records import RECORD, TLSRecords
from inferd_engine.testing import DONE, chunk
from inferd_engine.wire.http.chunks import chunked_decoder
from inferd_engine.wire.openai.answer import Answer
from inferd_engine.wire.sse import IMPLEMENTATION

EVENT = b"x" * 300
OVERHEAD = 22  # bytes of a record besides what is in it (RFC 8446, 5.2), with AES in GCM


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """Let no read end because the machine is busy."""
    monkeypatch.setattr(tls_records, "_MOMENT", SOON)


@pytest.fixture
def connect(authority, monkeypatch):
    """Give the way to two connected TLS sockets: the upstream's, and ours."""
    context, trusted = authority
    monkeypatch.setattr(context, "num_tickets", 0)  # so that what has come can be counted
    ours = ssl.create_default_context(cafile=trusted)
    with contextlib.ExitStack() as stack:

        def make(most=ssl.TLSVersion.TLSv1_3):
            ours.maximum_version = most
            there = stack.enter_context(socket.socket())
            there.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * BLOCK)
            with socket.create_server(("127.0.0.1", 0)) as listener:
                there.connect(listener.getsockname())
                here = stack.enter_context(listener.accept()[0])
            here.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            got = []
            thread = threading.Thread(
                target=lambda: got.append(context.wrap_socket(here, server_side=True))
            )
            thread.start()
            wrapped = stack.enter_context(ours.wrap_socket(there, server_hostname="localhost"))
            thread.join(SOON)
            return stack.enter_context(got[0]), wrapped

        yield make


@pytest.fixture
def ends(connect):
    """Give the two ends of a connection: the upstream's, and ours."""
    return connect()


@pytest.fixture
def received(monkeypatch):
    """Give the sizes of what each ``recv`` of a TLS socket has given, None for nothing."""
    sizes = []
    read = ssl.SSLSocket.read

    def counted(self, *arguments):
        sizes.append(None)
        data = read(self, *arguments)
        sizes[-1] = len(data)
        return data

    monkeypatch.setattr(ssl.SSLSocket, "read", counted)
    return sizes


def send_all(upstream, ours, *records):
    """Send records, and return when all of them can be read without waiting."""
    for record in records:
        upstream.sendall(record)
    count = sum(len(record) + OVERHEAD * -(-len(record) // RECORD) for record in records)
    with raw(ours) as plain:
        plain.settimeout(SOON)
        end = time.monotonic() + SOON
        while len(plain.recv(4 * BLOCK, socket.MSG_PEEK)) < count:
            assert time.monotonic() < end


def raw(wrapped):
    """Give what is below TLS."""
    return socket.socket(fileno=socket.dup(wrapped.fileno()))


# --- how many reads ------------------------------------------------------------------------------


def takes_many(reader):
    return isinstance(reader.recv.__self__, TLSRecords)


def test_which_sockets(ends):
    """Those of the interpreter are read so; what stands in their place is asked as ever."""

    class Recorded(ssl.SSLSocket):
        def recv(self, *arguments):
            return super().recv(*arguments)

    context = ssl.create_default_context()
    assert takes_many(socket_reader(ends[1], None))
    inner = SSLTransport.__new__(SSLTransport)
    inner.socket = ends[1]
    assert not takes_many(socket_reader(inner, None))
    context.sslsocket_class = Recorded
    with socket.socket() as plain, context.wrap_socket(plain, server_hostname="x") as other:
        assert not takes_many(socket_reader(other, None))


def test_a_burst_of_small_records(ends, received):
    """All that has come is one read: a record for each ``recv``, and one to see that it was all."""
    upstream, ours = ends
    send_all(upstream, ours, *[EVENT] * 100)
    reader = socket_reader(ours, None)
    assert reader.read(BLOCK, SOON) == EVENT * 100
    assert reader.taken == len(EVENT) * 100
    assert received == [len(EVENT)] * 100 + [None]


def test_a_burst_of_large_records(ends, received):
    """A block is full of them, and nothing is looked for that there would be no room for."""
    upstream, ours = ends
    send_all(upstream, ours, b"x" * (BLOCK + RECORD))
    reader = socket_reader(ours, None)
    assert reader.read(BLOCK, SOON) == b"x" * BLOCK
    assert reader.read(BLOCK, SOON) == b"x" * RECORD
    assert received == [RECORD] * 5 + [None]


def test_records_that_come_alone(ends, received):
    """Who waits for each record is spared the looks: there is one for a record's worth of bytes."""
    upstream, ours = ends
    reader = socket_reader(ours, None)
    for _ in range(100):
        upstream.sendall(EVENT)
        assert reader.read(BLOCK, SOON) == EVENT
    assert received.count(None) == 1 + 99 * len(EVENT) // RECORD
    assert len(received) == 100 + received.count(None)


def test_a_burst_behind_records_that_came_alone(ends, received):
    """It is found at the next look, and what follows it as well."""
    upstream, ours = ends
    reader = socket_reader(ours, None)
    upstream.sendall(EVENT)
    assert reader.read(BLOCK, SOON) == EVENT
    each = RECORD // len(EVENT)  # come before it is time to look again
    for _ in range(2):
        send_all(upstream, ours, *[EVENT] * 100)
        got = [reader.read(BLOCK, SOON)]
        while len(got[-1]) == len(EVENT):
            got.append(reader.read(BLOCK, SOON))
        assert b"".join(got) == EVENT * 100
        assert len(got) == each + 1
        each = 0


def test_no_more_than_was_asked_for(ends):
    """What is behind a body of known length stays where it is."""
    upstream, ours = ends
    send_all(upstream, ours, b"a" * RECORD, b"b" * RECORD, b"c" * RECORD)
    reader = socket_reader(ours, None)
    assert reader.read(2 * RECORD, SOON) == b"a" * RECORD + b"b" * RECORD
    assert reader.read(RECORD + 5, SOON) == b"c" * RECORD
    send_all(upstream, ours, b"d" * 10)
    assert reader.read(3, SOON) == b"ddd"
    assert ours.pending() == 7
    assert reader.read(BLOCK, 0) == b"d" * 7
    assert reader.read(BLOCK, 0) is None


def test_a_read_ends_in_time(ends, monkeypatch):
    """A flood of records is no reason to stay: the flag and the clocks are looked at in between."""
    monkeypatch.setattr(tls_records, "_MOMENT", 0.0)
    upstream, ours = ends
    send_all(upstream, ours, *[EVENT] * 100)
    reader = socket_reader(ours, None)
    for _ in range(100):
        assert reader.read(BLOCK, SOON) == EVENT


def test_time_to_wait_is_the_same_behind_a_look(ends):
    """A look does not wait, and the next read does."""
    upstream, ours = ends
    reader = socket_reader(ours, None)
    upstream.sendall(EVENT)
    assert reader.read(BLOCK, SOON) == EVENT
    timer = threading.Timer(0.02, upstream.sendall, [b"late"])
    timer.start()
    assert reader.read(BLOCK, SOON) == b"late"
    timer.join()
    assert reader.read(BLOCK, 0) is None
    assert reader.read(BLOCK, 0.01) is None


# --- framing -------------------------------------------------------------------------------------


def test_framing_of_many_records(ends):
    """Chunks are taken out of all that came; the end is known, and so is what came behind it."""
    upstream, ours = ends
    chunks = chunked_decoder()
    reader = socket_reader(ours, chunks)
    records = b"2\r\nab\r\n", b"3\r", b"\n", b"cde\r\n0\r\n", b"\r\n", b"HTTP/1.1 200 OK"
    send_all(upstream, ours, *records)
    assert reader.read(BLOCK, SOON) == b"abcde"
    assert reader.taken >= sum(map(len, records[:-1]))
    assert chunks.is_done
    assert chunks.surplus


def test_a_mistake_among_records(ends):
    """It is told after what came before it."""
    upstream, ours = ends
    reader = socket_reader(ours, chunked_decoder())
    send_all(upstream, ours, b"2\r\nab\r\n", b"+1\r\nc\r\n")
    assert reader.read(BLOCK, SOON) == b"ab"
    for _ in range(2):
        with pytest.raises(ValueError, match="hexadecimal"):
            reader.read(BLOCK, SOON)


def test_all_that_came_is_given_when_time_is_up(ends):
    """A deadline that has passed takes nothing from who did not read in time, and waits no more."""
    upstream, ours = ends
    send_all(upstream, ours, *[b"5\r\nhello\r\n"] * 500)
    with ours.makefile("rb", buffering=0) as raw:
        file = response._GuardedFile(raw, ours, Exchange(Deadlines(total=0.0)))
        file.expect_body(chunked_decoder())
        got = b""
        with pytest.raises(TimeoutError):
            while True:
                got += file.receive(BLOCK, None)
    assert got == b"hello" * 500


@pytest.mark.skipif(IMPLEMENTATION == "pure", reason="needs the C part")
def test_texts_of_many_records(ends):
    """Where the events of an answer are known, their texts are taken out of all that came."""
    upstream, ours = ends
    answer, chunks = Answer(), chunked_decoder()
    reader = socket_reader(ours, chunks)
    send_all(upstream, ours, *in_chunks(*[chunk("a")] * 20))
    while (plain := answer.likeness(BLOCK)) is None:
        answer.feed(reader.read(BLOCK, SOON))
    way, event = reader.short_way(plain), in_chunks(chunk("b"))[0]
    send_all(upstream, ours, *[event] * 49)
    assert [given.delta for given in way.read(SOON)] == ["b"] * 49
    assert reader.taken == 49 * len(event)
    send_all(upstream, ours, event[:60])
    assert way.read(SOON) is None
    assert answer.feed(reader.read(BLOCK, 0)) == []
    send_all(upstream, ours, event[60:])
    assert [given.delta for given in answer.feed(reader.read(BLOCK, SOON))] == ["b"]
    assert not chunks.is_done
    send_all(upstream, ours, event + b"0\r\n\r\n")
    assert way.read(SOON) is None
    assert [given.delta for given in answer.feed(reader.read(BLOCK, SOON))] == ["b"]
    assert chunks.is_done


# --- ends ----------------------------------------------------------------------------------------


def close_notify(upstream):
    """Say that nothing follows, and leave the connection open."""
    upstream.settimeout(0.0)
    with pytest.raises(ssl.SSLWantReadError):
        upstream.unwrap()
    upstream.settimeout(None)


def cut(upstream):
    """End the connection without a word of TLS."""
    with raw(upstream) as plain:
        plain.shutdown(socket.SHUT_WR)


def cut_inside(upstream):
    """End it inside of a record."""
    with raw(upstream) as plain:
        plain.sendall(b"\x17\x03\x03\x01\x00abc")
        plain.shutdown(socket.SHUT_WR)


def garble(upstream):
    """Send what is no record of this connection."""
    with raw(upstream) as plain:
        plain.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)


def no_tls(upstream):
    """Send something that is not TLS at all."""
    with raw(upstream) as plain:
        plain.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def alert(upstream):
    """Be sent a record that is none, and answer it by an alert, as a peer does that gives up."""
    upstream.settimeout(SOON)
    with pytest.raises(ssl.SSLError):
        upstream.recv(1)


QUIET = [close_notify, cut, cut_inside]  # which no socket of ssl tells apart
ENDINGS = [*QUIET, garble, no_tls, alert]


def told(reader, ours):
    """Read to the end; give what came, and how it ended."""
    got = []
    while True:
        try:
            data = reader.read(BLOCK, SOON)
        except OSError as error:
            return b"".join(got), (type(error), error.args)
        assert data is not None
        if not data:
            return b"".join(got), "end"
        got.append(data)


def outcome(connect, kind, end, version):
    """Let an upstream end behind three records; give what a reader makes of it."""
    upstream, ours = connect(version)
    for _ in range(3):
        upstream.sendall(EVENT)
    if end is alert:
        with raw(ours) as plain:
            plain.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)
    end(upstream)
    reader = kind(ours, None)
    return told(reader, ours), reader, ours


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("end", ENDINGS)
def test_what_came_first_and_then_the_very_end(connect, end, version):
    """A read that meets an end gives what came before it; the end is the same as one by one."""
    alone, *_ = outcome(connect, PythonReader, end, version)
    together, reader, ours = outcome(connect, socket_reader, end, version)
    assert together == alone
    assert alone[0] == EVENT * 3
    assert (alone[1] == "end") == (end in QUIET)
    for _ in range(2):  # and nothing else from then on, as often as somebody asks
        again, how = told(reader, ours)
        assert (again, how) == (b"", together[1])
    assert wait_for_read(ours, 0)  # whoever waits is told


def test_a_reset_behind_records(connect):
    """What came before a reset is given as far as the kernel has it, and then the reset."""

    class Reset(ssl.SSLSocket):
        resets = False

        def read(self, *arguments):
            if self.resets:
                raise ConnectionResetError(104, "Connection reset by peer")
            try:
                return super().read(*arguments)
            except ssl.SSLWantReadError:
                self.resets = True  # in the middle of a look
                raise ConnectionResetError(104, "Connection reset by peer") from None

    upstream, ours = connect()
    ours.__class__ = Reset
    send_all(upstream, ours, EVENT, EVENT)
    upstream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    reader = socket_reader(ours, None)
    assert takes_many(reader)
    assert reader.read(BLOCK, SOON) == EVENT * 2
    for _ in range(2):
        with pytest.raises(ConnectionResetError):
            reader.read(BLOCK, SOON)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_new_keys_in_the_middle(tmp_path):
    """A handshake between records, for new keys, is gone through; nothing is lost beside it."""
    openssl = pytest.importorskip("OpenSSL.SSL")
    certificate = trustme.CA().issue_cert("localhost")
    path = tmp_path / "server.pem"
    certificate.private_key_and_cert_chain_pem.write_to_path(str(path))
    context = openssl.Context(openssl.TLS_SERVER_METHOD)
    context.set_max_proto_version(openssl.TLS1_2_VERSION)  # TLS 1.3 has no way to be told to
    context.use_certificate_chain_file(str(path))
    context.use_privatekey_file(str(path))
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE

    def serve():
        upstream.do_handshake()
        upstream.send(EVENT)
        upstream.send(EVENT)
        assert upstream.renegotiate()
        upstream.do_handshake()
        upstream.send(EVENT)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        there = socket.create_connection(listener.getsockname())
        here, _ = listener.accept()
    upstream = openssl.Connection(context, here)
    upstream.set_accept_state()
    thread = threading.Thread(target=serve)
    thread.start()
    with here, trusting.wrap_socket(there) as ours:
        reader, got = socket_reader(ours, None), b""
        end = time.monotonic() + SOON
        while len(got) < 3 * len(EVENT) and time.monotonic() < end:
            got += reader.read(BLOCK, 0.05) or b""
        thread.join(SOON)
        assert got == EVENT * 3
        assert upstream.total_renegotiations() == 1


# --- whole calls ---------------------------------------------------------------------------------

HEAD = http_answer(b"", "Transfer-Encoding: chunked", kind="text/event-stream")
TOLD = [chunk("a") for _ in range(40)]


@pytest.fixture
def serve(authority):
    """Give a backend whose upstream answers so, and the event that all of an answer was sent."""
    context, trusted = authority
    with contextlib.ExitStack() as stack:

        def make(*pieces, **options):
            sent = threading.Event()

            def answer(question, number):
                return [HEAD, *pieces, lambda _: sent.set()]

            server = stack.enter_context(RawServer(answer, context))
            settings = {"api_key": "", "verify": trusted, "timeout": SOON * 2, **options}
            backend = stack.enter_context(ie.OpenAiCompat(base_url=server.url, **settings))
            return backend, server, sent

        yield make


def in_chunks(*events):
    """Give each event as a chunk of HTTP's, without the last one."""
    return [chunked(event).removesuffix(b"0\r\n\r\n") for event in events]


def by_iterating(stream):
    yield from stream


def by_waiting_first(stream):
    """So the main thread reads where a handler of the program's own may raise."""
    old = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield from stream
    finally:
        signal.signal(signal.SIGINT, old)


def by_merging(stream):
    with ie.merge([stream]) as merge:
        for _, given in merge:
            if isinstance(given, ie.GenerateError):
                raise given
            yield given


@pytest.mark.parametrize("read", [by_iterating, by_waiting_first, by_merging])
def test_an_answer_cut_by_a_peer_that_stays(serve, read, buffer):
    """A close_notify behind the last event is told at once, though the connection is silent."""
    backend, _, sent = serve(*in_chunks(*TOLD), close_notify, buffer=buffer)
    with backend.stream("x") as stream:
        assert sent.wait(SOON)
        got = []
        with pytest.raises(ie.StreamInterruptedError):
            got.extend(event.delta for event in read(stream))
        assert got == ["a"] * len(TOLD)


def test_a_connection_is_not_used_again_behind_its_end(serve, buffer):
    """A close_notify behind a whole answer, seen or not, leaves nothing for the next call."""
    whole = in_chunks(*TOLD, chunk(finish_reason="stop"), DONE)
    backend, server, sent = serve(*whole, b"0\r\n\r\n", close_notify, buffer=buffer)
    for _ in range(2):
        sent.clear()
        with backend.stream("x") as stream:
            assert sent.wait(SOON)
            assert "".join(stream.text()) == "a" * len(TOLD)
            assert stream.done
    assert server.counts == [1, 1]


def test_a_connection_is_used_again_behind_a_burst(serve, buffer):
    """Looks into the silence behind an answer leave its connection as it was."""
    whole = in_chunks(*TOLD, chunk(finish_reason="stop"), DONE)
    backend, server, sent = serve(*whole, b"0\r\n\r\n", buffer=buffer)
    for _ in range(3):
        sent.clear()
        with backend.stream("x") as stream:
            assert sent.wait(SOON)
            assert "".join(stream.text()) == "a" * len(TOLD)
    assert server.counts == [3]
