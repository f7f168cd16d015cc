"""Which connections are used again: nobody gets somebody else's answer, nor a dead connection."""

from __future__ import annotations

import gc
import socket
import threading
import time
import warnings

import pytest
from http_proxy import Proxy
from loopback.conftest import SOON, open_files
from raw_server import Close, RawServer, answer_body, chunked, http_answer

import inferd_engine as ie
from inferd_engine.testing import DONE, Gate, Reply, Stall, chunk, error_reply, text_reply

STALE = http_answer(answer_body("somebody else's answer"))
STREAM = "text/event-stream"


@pytest.fixture(params=["http", "https"])
def serve(request, authority):
    """Give a backend that asks a server with these answers, in clear or over TLS."""
    context, trusted = authority
    opened = []

    def make(answer, **options):
        server = RawServer(answer, context if request.param == "https" else None)
        backend = ie.OpenAiCompat(
            base_url=server.url, api_key="", verify=trusted, **{"timeout": 10.0, **options}
        )
        opened.extend([server.__enter__(), backend])
        backend.server = server
        return backend

    yield make
    for one in reversed(opened):
        one.__exit__(None, None, None)


def padded(text, size):
    """Give a body of so many bytes."""
    body = answer_body(text)
    return body + b" " * (size - len(body))


def sse(text):
    """Give an answer as the body of an event stream."""
    return chunk(text) + chunk(finish_reason="stop") + DONE


def split(answer, surplus):
    """Send the head first, so that the body comes by itself, together with the surplus."""
    head, blank, body = answer.partition(b"\r\n\r\n")
    return [head + blank, 0.02, body + surplus]


WHOLE = {
    "length": lambda text: [http_answer(answer_body(text))],
    "length, larger than the reader of the headers": lambda text: [http_answer(padded(text, 9000))],
    "length, head apart": lambda text: split(http_answer(answer_body(text)), b""),
    "chunks": lambda text: [http_answer(chunked(answer_body(text)), "Transfer-Encoding: chunked")],
    "chunks, an event stream": lambda text: [
        http_answer(chunked(sse(text)), "Transfer-Encoding: chunked", kind=STREAM)
    ],
    "length, an event stream": lambda text: [http_answer(sse(text), kind=STREAM)],
    "http 1.0, kept alive": lambda text: [
        http_answer(
            answer_body(text), "Connection: keep-alive", f"Content-Length: {len(answer_body(text))}"
        ).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    ],
}


@pytest.mark.parametrize("kind", WHOLE)
def test_after_a_whole_answer_the_connection_is_used_again(serve, kind, buffer):
    """Whatever its framing and its kind, a whole answer leaves a connection as good as new."""
    backend = serve(lambda question, _: WHOLE[kind](f"answer to {question}"), buffer=buffer)
    for number in range(4):
        assert backend.complete(f"q{number}").text == f"answer to q{number}"
    assert backend.server.connections == 1


def exactly(size, surplus):
    """Fill the reader of the headers to its last byte with an answer; the surplus is behind it."""

    def make(text):
        body = padded(text, 7000)
        head = len(http_answer(chunked(body), "Transfer-Encoding: chunked", "X: "))
        whole = http_answer(
            chunked(body), "Transfer-Encoding: chunked", "X: " + "x" * (size - head)
        )
        assert len(whole) == size
        return [whole + surplus]

    return make


SURPLUS = {
    "length, in one piece": lambda text: [http_answer(answer_body(text)) + STALE],
    "length, behind more than the headers' reader holds": lambda text: [
        http_answer(padded(text, 9000)) + STALE
    ],
    "length, with the body": lambda text: split(http_answer(answer_body(text)), STALE),
    "length, a few bytes": lambda text: [http_answer(answer_body(text)) + b"X" * 20],
    "length, a line end": lambda text: [http_answer(answer_body(text)) + b"\r\n"],
    "chunks, in one piece": lambda text: [
        http_answer(chunked(answer_body(text)), "Transfer-Encoding: chunked") + STALE
    ],
    "chunks, with the body": lambda text: split(
        http_answer(chunked(answer_body(text)), "Transfer-Encoding: chunked"), STALE
    ),
    "chunks, right behind the headers' reader": exactly(8192, STALE),
    "chunks, in the next record of the same block": lambda text: [
        http_answer(chunked(padded(text, 40_000)), "Transfer-Encoding: chunked") + STALE
    ],
    "an event stream, in one piece": lambda text: [
        http_answer(chunked(sse(text)), "Transfer-Encoding: chunked", kind=STREAM) + STALE
    ],
    "an event stream, with the body": lambda text: split(
        http_answer(chunked(sse(text)), "Transfer-Encoding: chunked", kind=STREAM), STALE
    ),
    "gzip that nobody asked for": lambda text: [gzipped(text) + STALE],
    "a moment later": lambda text: [http_answer(answer_body(text)), 0.02, STALE],
}


def gzipped(text):
    import gzip

    body = gzip.compress(answer_body(text))
    return http_answer(body, f"Content-Length: {len(body)}", "Content-Encoding: gzip")


@pytest.mark.parametrize("kind", SURPLUS)
def test_what_comes_behind_an_answer_is_nobody_s(serve, kind, buffer):
    """Bytes behind the first answer are never given to the second call, nor is their connection."""

    def answer(question, number):
        text = f"answer to {question}"
        return (
            [http_answer(answer_body(text))] if number or question != "q0" else SURPLUS[kind](text)
        )

    backend = serve(answer, buffer=buffer)
    assert backend.complete("q0").text == "answer to q0"
    if kind == "a moment later":
        time.sleep(0.1)
    for number in range(1, 4):
        assert backend.complete(f"q{number}").text == f"answer to q{number}"
    assert backend.server.counts[0] == 1


def lengths_of(text, *spellings):
    size = len(answer_body(text))
    return [spelling.format(size, str(size)[0], str(size)[1:]) for spelling in spellings]


DOUBTFUL = {
    "both framings": lambda text: [
        http_answer(chunked(answer_body(text)), "Content-Length: 3", "Transfer-Encoding: chunked")
    ],
    "both framings, the other way round": lambda text: [
        http_answer(
            chunked(answer_body(text)), "Transfer-Encoding: chunked", "Content-Length: 100000"
        )
    ],
    "two codings": lambda text: [
        http_answer(chunked(answer_body(text)), "Transfer-Encoding: identity, chunked")
    ],
    "two codings in two headers": lambda text: [
        http_answer(
            chunked(answer_body(text)),
            "Transfer-Encoding: identity",
            "Transfer-Encoding: chunked",
        )
    ],
    "a length with an underscore": lambda text: [
        http_answer(answer_body(text), *lengths_of(text, "Content-Length: {1}_{2}"))
    ],
    "a length with a sign": lambda text: [
        http_answer(answer_body(text), *lengths_of(text, "Content-Length: +{0}"))
    ],
    "a length twice": lambda text: [
        http_answer(answer_body(text), *lengths_of(text, "Content-Length: {0}, {0}"))
    ],
    "identity and a length": lambda text: [
        http_answer(
            answer_body(text),
            "Transfer-Encoding: identity",
            *lengths_of(text, "Content-Length: {0}"),
        )
    ],
}


@pytest.mark.parametrize("kind", DOUBTFUL)
def test_a_doubtful_end_is_the_last_of_its_connection(serve, kind):
    """Where two readers could differ on the end, the answer is given, and its connection is not."""
    backend = serve(lambda question, _: DOUBTFUL[kind](f"answer to {question}"))
    for number in range(3):
        assert backend.complete(f"q{number}").text == f"answer to q{number}"
    assert backend.server.connections == 3


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 400\r\n\r\n",
        b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
@pytest.mark.parametrize("surplus", [b"", STALE], ids=["", "and more"])
def test_answers_without_an_answer(serve, head, surplus):
    """Nor is anything given to the next call that comes behind an answer that has no body."""

    def answer(question, number):
        bad = question == "bad"
        return [head + surplus] if bad else [http_answer(answer_body(f"answer to {question}"))]

    backend = serve(answer)
    for number in range(2):
        with pytest.raises(ie.GenerateError):
            backend.complete("bad")
        assert backend.complete(f"q{number}").text == f"answer to q{number}"
    if surplus or b"101" in head:
        assert backend.server.connections == 3 - (not surplus and b"101" not in head)


@pytest.mark.parametrize(
    "kind", [STREAM, "application/octet-stream", "application/json", "text/plain"]
)
@pytest.mark.parametrize("close", [None, 0.0, 0.005])
def test_after_a_cut_the_connection_is_not_used_again(serve, kind, close):
    """An answer that ends properly and too early was cut: its server closes the connection next."""
    body = chunked(chunk("x"))

    def answer(question, number):
        end = [] if close is None else [Close(close)]
        return [http_answer(body, "Transfer-Encoding: chunked", kind=kind), *end]

    backend = serve(answer)
    for _ in range(10):
        with pytest.raises(ie.StreamInterruptedError, match="cut"):
            backend.complete("x")
    assert backend.server.connections == 10


def test_an_error_that_was_read_to_its_end_keeps_its_connection(ask):
    """A refusal costs no handshake: its connection serves the next try."""
    backend = ask(error_reply(429, "slow down"), error_reply(500, "oh"), text_reply("fine"))
    for _ in range(2):
        with pytest.raises(ie.HttpStatusError):
            backend.complete("x")
    assert backend.complete("x").text == "fine"
    assert backend.upstream.connections == 1


def test_an_error_that_was_not_read_to_its_end_does_not(ask, monkeypatch):
    """A refusal whose body has no end leaves a connection that nobody may use."""
    monkeypatch.setattr("inferd_engine.backends.over_http.call._ERROR_BODY_SECONDS", 0.1)
    backend = ask(Reply([b"no", Stall()], 500), text_reply("fine"))
    with pytest.raises(ie.HttpStatusError, match="500"):
        backend.complete("x")
    assert backend.complete("x").text == "fine"
    assert backend.upstream.connections == 2


def test_the_list_of_models_keeps_its_connection(ask):
    """models() reads its answer to the end, and gives the connection back."""
    backend = ask(models=["m"])
    for _ in range(3):
        assert backend.models() == ["m"]
    assert backend.complete("x").text
    assert backend.upstream.connections == 1


# --- servers that promise what they do not keep --------------------------------------------------


@pytest.mark.parametrize("close_after", [0.0, 50e-6, 0.005, 0.05])
def test_a_server_that_closes_at_the_end_of_its_answer(serve, close_after, monkeypatch):
    """Keep-alive is promised and not kept: a few calls may run into it, and then none does."""
    monkeypatch.setattr("inferd_engine.net.idle.A_MOMENT", 10.0)  # on a loaded machine
    answers = http_answer(
        chunked(sse("fine")),
        "Transfer-Encoding: chunked",
        "Keep-Alive: timeout=5, max=5",
        kind=STREAM,
    )
    backend = serve(lambda *_: [answers, Close(close_after)])
    failed = []
    for number in range(100):
        try:
            assert backend.complete("x").text == "fine"
        except ie.TransportError:
            failed.append(number)
    assert len(failed) <= 2
    assert len(backend.server.asked) >= 98


def test_calls_beside_each_other_learn_together(ask_raw):
    """What one call has found out spares the others."""
    answers = http_answer(chunked(sse("fine")), "Transfer-Encoding: chunked", kind=STREAM)
    backend = ask_raw(lambda *_: [answers, Close(0.005)])
    failed = []

    def work():
        for _ in range(50):
            try:
                assert backend.complete("x").text == "fine"
            except ie.TransportError:
                failed.append(time.monotonic())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(failed) <= 8  # each of four may be on its way when the first one finds out


@pytest.mark.parametrize("after", [0.0, 0.002, 0.02])
def test_a_server_that_refuses_what_nobody_asked(serve, after):
    """One call may be on its way when it is said, and takes it for its answer; no other does."""
    refusal = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

    def answer(question, number):
        return [http_answer(answer_body(f"answer to {question}")), after, refusal, Close()]

    backend = serve(answer)
    wrong = 0
    for number in range(40):
        try:
            assert backend.complete(f"q{number}").text == f"answer to q{number}"
        except (ie.HttpStatusError, ie.TransportError):
            wrong += 1
    assert wrong <= 1


@pytest.fixture
def ask_raw():
    """Give a backend that asks a raw server in clear."""
    opened = []

    def make(answer, **options):
        server = RawServer(answer).__enter__()
        backend = ie.OpenAiCompat(base_url=server.url, api_key="", timeout=10.0, **options)
        opened.extend([server, backend])
        backend.server = server
        return backend

    yield make
    for one in reversed(opened):
        one.__exit__(None, None, None)


def pool_of(backend):
    """Give the idle connections of a backend that has asked one address."""
    (adapter,) = backend._transport._adapters.values()
    (key,) = adapter.poolmanager.pools.keys()
    return adapter.poolmanager.pools[key].pool


def test_trust_comes_back(ask_raw, monkeypatch):
    """After a while such a server is tried again: it may have been mended."""
    now = [1000.0]
    keeps = []

    def answer(*_):
        yield http_answer(answer_body("fine"))
        if not keeps:
            yield Close()

    backend = ask_raw(answer)
    assert backend.complete("x").text == "fine"
    idle_ones = pool_of(backend)
    wait_until(lambda: not idle_ones._connections[0].is_connected)
    assert backend.complete("x").text == "fine"
    assert idle_ones.qsize() == 0  # it is not kept
    keeps.append(True)
    assert backend.complete("x").text == "fine"
    assert backend.complete("x").text == "fine"
    assert (idle_ones.qsize(), backend.server.connections) == (0, 4)
    monkeypatch.setattr(idle_ones, "_distrusted_until", now[0] - 2000.0)
    for _ in range(3):
        assert backend.complete("x").text == "fine"
    assert backend.server.connections == 5


def wait_until(is_so):
    """Wait until something is so."""
    end = time.monotonic() + SOON
    while not is_so() and time.monotonic() < end:
        time.sleep(0.002)
    assert is_so()


def test_a_server_that_closes_idle_connections_keeps_our_trust(ask_raw, monkeypatch):
    """A connection that was closed long after its answer says nothing against the next one."""
    monkeypatch.setattr("inferd_engine.net.idle.A_MOMENT", 0.05)
    backend = ask_raw(lambda question, _: [http_answer(answer_body("fine")), *closing(question)])

    def closing(question):
        return [0.2, Close()] if question == "last" else []

    assert backend.complete("first").text == "fine"
    assert backend.complete("last").text == "fine"
    assert backend.server.connections == 1
    idle_ones = pool_of(backend)
    wait_until(lambda: not idle_ones._connections[0].is_connected)
    for _ in range(3):
        assert backend.complete("first").text == "fine"
    assert backend.server.connections == 2


def test_a_server_that_goes_in_the_middle_keeps_our_trust(ask_raw, monkeypatch):
    """A server that took a request, worked on it for a while and died has broken no promise."""
    monkeypatch.setattr("inferd_engine.net.idle.A_MOMENT", 0.05)
    answers = {"die": [0.2, Close()], "fine": [http_answer(answer_body("fine"))]}
    backend = ask_raw(lambda question, _: answers[question])
    for _ in range(2):
        assert backend.complete("fine").text == "fine"
        with pytest.raises(ie.TransportError):
            backend.complete("die")
    assert backend.complete("fine").text == "fine"
    assert backend.complete("fine").text == "fine"
    assert backend.server.connections == 3


# --- idle connections ----------------------------------------------------------------------------


def test_an_old_connection_is_not_used_again(ask):
    """A connection that has been idle for longer than keepalive_expiry is closed, not asked."""
    backend = ask(otherwise=lambda _: text_reply("fine"), keepalive_expiry=0.2)
    assert backend.complete("x").text == "fine"
    assert backend.complete("x").text == "fine"
    assert backend.upstream.connections == 1
    files = open_files()
    time.sleep(0.3)
    assert backend.complete("x").text == "fine"
    assert backend.upstream.connections == 2
    wait_until(lambda: open_files() <= files)


def test_an_idle_connection_that_a_firewall_forgot(ask_raw):
    """A connection into which everything vanishes costs nothing once it has expired."""
    forgotten = threading.Event()

    def answer(question, number):
        if number:
            forgotten.set()
            return [3600.0]
        return [http_answer(answer_body("fine"))]

    backend = ask_raw(answer, keepalive_expiry=0.1)
    for _ in range(2):
        assert backend.complete("x").text == "fine"
        time.sleep(0.2)
    assert not forgotten.is_set()


def test_siblings_may_differ_in_what_is_old(ask):
    """Each takes what is young enough for it."""
    backend = ask(otherwise=lambda _: text_reply("fine"), keepalive_expiry=None)
    hasty = backend.with_options(keepalive_expiry=0.05)
    assert backend.complete("x").text == "fine"
    time.sleep(0.1)
    assert backend.complete("x").text == "fine"
    assert backend.upstream.connections == 1
    time.sleep(0.1)
    assert hasty.complete("x").text == "fine"
    assert backend.upstream.connections == 2


def socket_of(backend):
    """Give the socket of the one idle connection."""
    (connection,) = pool_of(backend)._connections
    return connection.sock


KEEPALIVE = pytest.mark.skipif(
    not hasattr(socket, "TCP_KEEPIDLE"), reason="the names are those of Linux and Windows"
)


@KEEPALIVE
@pytest.mark.parametrize(
    ("seconds", "idle_for", "interval"),
    [(60.0, 60, 15), (7.0, 7, 1), (0.2, 1, 1), (1e9, 32767, 8191)],
)
def test_the_kernel_probes_in_silence(ask, seconds, idle_for, interval):
    """After tcp_keepalive seconds the kernel asks, and after as many again it gives the peer up."""
    backend = ask(tcp_keepalive=seconds)
    assert backend.complete("x").text
    sock = socket_of(backend)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    for name, value in {"KEEPIDLE": idle_for, "KEEPINTVL": interval, "KEEPCNT": 4}.items():
        assert sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, f"TCP_{name}")) == value


@KEEPALIVE
def test_probing_is_the_caller_s(ask):
    """A sibling with another tcp_keepalive has it on the connections that it takes over."""
    backend = ask()
    assert backend.complete("x").text
    sock = socket_of(backend)
    for seconds in (None, 30.0, None):
        assert backend.with_options(tcp_keepalive=seconds).complete("x").text
        assert socket_of(backend) is sock
        probed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert probed == (seconds is not None)
    assert backend.upstream.connections == 1


@KEEPALIVE
@pytest.mark.parametrize("how", ["in place", "anew"])
def test_the_program_s_own_options_win(ask, monkeypatch, how):
    """What a program has told urllib3 about sockets holds here too."""
    import urllib3.connection

    options = [*urllib3.connection.HTTPConnection.default_socket_options]
    more = [
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 11),
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    ]
    if how == "anew":
        value = [*options, *more]
        monkeypatch.setattr(urllib3.connection.HTTPConnection, "default_socket_options", value)
    else:
        urllib3.connection.HTTPConnection.default_socket_options += more
    try:
        for seconds, expected in ((60.0, 15), (None, None)):
            backend = ask(tcp_keepalive=seconds)
            assert backend.complete("x").text
            sock = socket_of(backend)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 11
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            if expected:
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == expected
    finally:
        if how == "in place":
            urllib3.connection.HTTPConnection.default_socket_options[:] = options


def test_options_that_a_system_does_not_know(ask, monkeypatch):
    """A system without the probes is asked without them."""
    setsockopt = socket.socket.setsockopt

    def refuse(self, level, name, *value):
        if level == socket.IPPROTO_TCP and name != socket.TCP_NODELAY:
            raise OSError(92, "Protocol not available")
        setsockopt(self, level, name, *value)

    monkeypatch.setattr(socket.socket, "setsockopt", refuse)
    assert ask().complete("x").text


# --- those who share connections -----------------------------------------------------------------


def test_a_sibling_that_is_stopped_takes_nothing_along(ask):
    """stop() on one leaves the idle connections to the others; the last one closes them."""
    backend = ask(otherwise=lambda _: text_reply("fine"))
    siblings = [backend.with_options(timeout=5.0) for _ in range(3)]
    assert backend.complete("x").text == "fine"
    idle_ones = pool_of(backend)
    for sibling in siblings[:2]:
        assert sibling.complete("x").text == "fine"
        sibling.stop()
        sibling.stop()  # twice is once
        assert idle_ones.qsize() == 1
    backend.stop()
    assert siblings[2].complete("x").text == "fine"
    assert backend.upstream.connections == 1
    siblings[2].stop()
    assert idle_ones.qsize() == 0


def test_a_sibling_that_is_dropped_holds_nothing_back(ask):
    """Who has only ever been used in passing does not keep the last one from closing."""
    backend = ask(otherwise=lambda _: text_reply("fine"))
    assert backend.with_options(timeout=5.0).complete("x").text == "fine"
    gc.collect()
    idle_ones = pool_of(backend)
    assert idle_ones.qsize() == 1
    backend.stop()
    assert idle_ones.qsize() == 0


def test_stopping_one_fails_no_call_of_another(ask):
    """While siblings come and go, calls of the others are just calls."""
    backend = ask(otherwise=lambda _: text_reply("fine"))
    over, failures, count = threading.Event(), [], [0]

    def innocent():
        while not over.is_set():
            try:
                assert backend.complete("x").text == "fine"
            except BaseException as error:  # noqa: BLE001 - the test looks at it
                failures.append(error)
            count[0] += 1

    threads = [threading.Thread(target=innocent) for _ in range(3)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 2.0
    while time.monotonic() < end:
        with backend.with_options(timeout=5.0):
            pass
        time.sleep(0.0005)
    over.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert count[0] > 100
    assert backend.upstream.connections <= 3


def test_the_last_one_stops_while_a_call_is_on_its_way(ask, monkeypatch):
    """Between finding its connections and using them, a call may lose the idle ones and no more."""
    backend = ask(otherwise=lambda _: text_reply("fine"))
    assert backend.complete("x").text == "fine"
    own_adapter = type(backend._transport)._own_adapter
    other = backend.with_options(timeout=5.0)

    def stopped_meanwhile(transport):
        adapter = own_adapter(transport)
        monkeypatch.undo()
        adapter.close()  # as the last user's stop() does
        return adapter

    monkeypatch.setattr(type(backend._transport), "_own_adapter", stopped_meanwhile)
    assert other.complete("x").text == "fine"
    assert other.complete("x").text == "fine"


def test_a_stream_outlives_those_who_share_its_connection(ask):
    """A stream of a sibling goes on when everybody else has stopped; its connection is not kept."""
    gate = Gate()
    backend = ask(Reply([chunk("a"), gate, chunk("b", finish_reason="stop"), DONE]))
    stream = backend.with_options(timeout=5.0).stream("x")
    assert next(stream).delta == "a"
    gc.collect()
    backend.stop()
    gate.open()
    assert "".join(stream.text()) == "b"
    assert backend.upstream.requests[0].gone.wait(SOON) or backend.upstream.connections == 1


@pytest.mark.parametrize("way", ["http", "https"])
def test_backends_that_are_only_dropped_leave_nothing(ask_by, way):
    """Nobody has to stop a backend: its idle connections go with it, without a warning."""
    upstream = ask_by(way, otherwise=lambda _: text_reply("fine"))
    settings = {name: getattr(upstream.config, name) for name in ("base_url", "verify")}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            backend = ie.OpenAiCompat(api_key="", **settings)
            sibling = backend.with_options(timeout=5.0)
            assert backend.complete("x").text == sibling.complete("x").text == "fine"
            del backend, sibling
            gc.collect()
    assert upstream.upstream.connections == 3


def test_through_a_proxy_too(ask_by):
    """A whole answer through a proxy leaves its connection to the next call."""
    backend = ask_by("tunnel", otherwise=lambda _: text_reply("fine"))
    for _ in range(3):
        assert backend.complete("x").text == "fine"
    assert backend.upstream.connections == 1
    assert len(backend.proxy.heads) == 1


@pytest.mark.parametrize("surplus", [b"", STALE], ids=["", "and more"])
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_tls_inside_of_tls(authority, surplus, framing):
    """What either layer of TLS holds back is nobody's, and nothing else keeps a connection away."""
    context, trusted = authority

    def answer(question, number):
        body = answer_body(f"answer to {question}")
        if framing == "chunks":
            whole = http_answer(chunked(body), "Transfer-Encoding: chunked")
        else:
            whole = http_answer(body)
        head, blank, rest = whole.partition(b"\r\n\r\n")
        return [head + blank, 0.02, rest + surplus]

    with Proxy(context=context) as proxy, RawServer(answer, context) as server:
        settings = {"api_key": "", "verify": trusted, "proxies": {"https": proxy.url}}
        with ie.OpenAiCompat(base_url=server.url, timeout=10.0, **settings) as backend:
            for number in range(3):
                assert backend.complete(f"q{number}").text == f"answer to q{number}"
        assert server.counts == ([1, 1, 1] if surplus else [3])
