"""How fast things end, in numbers: the best of a few tries has to keep to what was promised.

A loaded machine makes single tries slow; whatever polls, or waits for a timeout, is slow always.
``benchmarks/closing.py`` gives medians and maxima.
"""

from __future__ import annotations

import signal
import socket
import threading
import time

import pytest
from http_proxy import Proxy
from loopback.conftest import WAYS

import inferd_engine as ie
from inferd_engine.testing import Gate, Reply, Stall, Trickle, chunk, raw_reply

SOON = 10.0  # seconds until a try counts as lost
TRIES = 5
RETURNS, WAKES, HEARS = 0.010, 0.050, 0.100  # seconds: what close() promises
LIMIT = 0.25  # seconds
OVERSHOOT = 0.1 * LIMIT + 0.1
SETTLE = 0.02  # seconds until whoever is to be woken waits

BODIES = {
    "chunked": Reply([chunk("a"), Stall()]),
    "close": Reply([chunk("a"), Stall()], framing="close"),
    "flood": Reply([chunk("a" * 1000)] * 100_000),
}


class Watch:
    """Note when something has happened in another thread."""

    def __init__(self, target):
        self.at = None
        self.result = None
        self._thread = threading.Thread(target=self._run, args=[target])
        self._thread.start()

    def _run(self, target):
        try:
            self.result = target()
        except BaseException as error:  # noqa: BLE001 - how it ended is looked at by the test
            self.result = error
        self.at = time.perf_counter()

    def seconds_since(self, moment):
        self._thread.join(SOON)
        assert self.at is not None
        return self.at - moment


def timed(act, *watches):
    """Act once everybody waits; give the seconds until it returned and until each noticed."""
    time.sleep(SETTLE)
    begun = time.perf_counter()
    act()
    returned = time.perf_counter() - begun
    return (returned, *(watch.seconds_since(begun) for watch in watches))


def assert_prompt(one_try, *promised):
    """Look that one of a few tries keeps to all of these."""
    tries = []
    for _ in range(TRIES):
        tries.append(one_try())
        if all(took < bound for took, bound in zip(tries[-1], promised, strict=True)):
            return
    pytest.fail(f"not within {promised}: {tries}")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("body", BODIES)
def test_close_in_the_body(ask_by, way, body, buffer):
    """close() returns, the consumer wakes, the upstream hears: in 10, 50 and 100 ms."""
    backend = ask_by(way, *[BODIES[body]] * TRIES, buffer=buffer)

    def one_try():
        stream = backend.stream("x")
        next(stream)
        gone = backend.upstream.requests[-1].gone
        consumer = Watch(lambda: [*stream])
        times = timed(stream.close, consumer, Watch(lambda: gone.wait(SOON)))
        assert isinstance(consumer.result, list)
        stream.wait_released(SOON)
        return times

    assert_prompt(one_try, RETURNS, WAKES, HEARS)


@pytest.mark.parametrize("way", WAYS)
def test_close_while_the_worker_waits_for_room(ask_by, way):
    """A worker that waits for room is gone, and the upstream hears, as fast."""
    backend = ask_by(way, *[BODIES["flood"]] * TRIES, buffer=4)

    def one_try():
        stream = backend.stream("x")
        received = backend.upstream.requests[-1]
        before = -1
        while before != received.sent:  # until nothing fits any more
            before = received.sent
            assert not received.finished.wait(0.05)
        worker = Watch(lambda: stream.wait_released(SOON))
        return timed(stream.close, worker, Watch(lambda: received.gone.wait(SOON)))

    assert_prompt(one_try, RETURNS, WAKES, HEARS)


@pytest.mark.parametrize("how", ["poll", "heartbeat"])
def test_close_while_somebody_polls(ask, how):
    """poll() and with_heartbeat() wake as fast as next()."""
    backend = ask(*[BODIES["chunked"]] * TRIES)
    waits = {
        "poll": lambda stream: stream.poll(3600.0),
        "heartbeat": lambda stream: [*stream.with_heartbeat(3600.0)],
    }

    def one_try():
        stream = backend.stream("x")
        next(stream)
        return timed(stream.close, Watch(lambda: waits[how](stream)))

    assert_prompt(one_try, RETURNS, WAKES)


def end_of(how, backend, token):
    """Give what ends a call that has no stream yet."""
    if how == "token":
        return token.cancel
    if how == "stop":
        return backend.stop
    main = threading.main_thread().ident
    return lambda: signal.pthread_kill(main, signal.SIGINT)


@pytest.mark.parametrize("how", ["stop", "token"])
@pytest.mark.parametrize("way", WAYS)
def test_end_while_waiting_for_headers(ask_by, way, how):
    """A call that waits for headers ends as fast as a stream."""

    def one_try():
        backend, token = ask_by(way, Reply(before=[Stall()])), ie.CancelToken()
        call = Watch(lambda: backend.stream("x", cancel=token))
        gone = backend.upstream.wait_for_request().gone
        times = timed(end_of(how, backend, token), call, Watch(lambda: gone.wait(SOON)))
        assert isinstance(call.result, ie.RequestCancelledError)
        return times

    assert_prompt(one_try, RETURNS if how == "token" else WAKES, WAKES, HEARS)


@pytest.fixture(params=["connect", "handshake", "proxy", "headers"])
def waiting(request, ask, authority, dead_end):
    """A backend whose calls wait in a phase before the answer, and how to know that they do."""
    settings = {"api_key": "", "verify": authority[1]}
    if request.param == "connect":
        with ie.OpenAiCompat(base_url=dead_end, **settings) as backend:
            yield backend, lambda _: None
    elif request.param == "headers":
        backend = ask(*[Reply(before=[Stall()])] * TRIES)
        yield backend, backend.upstream.wait_for_request
    elif request.param == "proxy":
        settings["base_url"] = "https://localhost:9"
        with Proxy(stalls=True) as proxy:
            with ie.OpenAiCompat(proxies={"https": proxy.url}, **settings) as backend:
                yield backend, lambda _: proxy.arrived.wait(SOON)
    else:
        with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
            url = f"https://127.0.0.1:{server.getsockname()[1]}"
            with ie.OpenAiCompat(base_url=url, **settings) as backend:
                yield backend, lambda _: None


# A KeyboardInterrupt leaves a socket that was connecting to be closed by its last reference.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("how", ["token", "interrupt"])
def test_end_before_the_answer(waiting, how):
    """A token and Ctrl-C end a call in every phase before its answer, as fast as a stream."""
    backend, arrived = waiting
    acted = []

    def one_try():
        token = ie.CancelToken()

        def act():
            arrived(len(acted) + 1)
            time.sleep(SETTLE)
            acted.append(time.perf_counter())
            end_of(how, backend, token)()

        actor = Watch(act)
        with pytest.raises(KeyboardInterrupt if how == "interrupt" else ie.RequestCancelledError):
            backend.stream("x", cancel=token)
        over = time.perf_counter()
        actor.seconds_since(over)
        return (over - acted[-1],)

    assert_prompt(one_try, WAKES)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
EVERY = 0.05  # seconds between the bytes of a trickle
IN_THE_BODY = {
    "silence": [Stall()],
    "comments": [Trickle(b": ping\n\n", EVERY / 8, forever=True)],
    "bytes": [Trickle(b"data: " + b"x" * 1000, EVERY)],
}
IN_THE_HEAD = {
    "silence": Reply(before=[Stall()]),
    "header": raw_reply(HEAD + b"X-A: ", Trickle(b"a" * 1000, EVERY)),
    "100 Continue": raw_reply(Trickle(b"HTTP/1.1 100 Continue\r\n\r\n", 0.002, forever=True)),
}


def chunk_size_line(*before):
    """An answer whose next chunk has a size line that trickles."""
    head = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    chunks = [b"%x\r\n%s\r\n" % (len(data), data) for data in before]
    return raw_reply(head, *chunks, b"5;", Trickle(b"a" * 1000, EVERY))


DEADLINES = [
    *[("first_token_timeout", name, Reply(steps)) for name, steps in IN_THE_BODY.items()],
    *[("idle_timeout", name, Reply([chunk("a"), *steps])) for name, steps in IN_THE_BODY.items()],
    *[("timeout", name, Reply([chunk("a"), *steps])) for name, steps in IN_THE_BODY.items()],
    *[("first_token_timeout", f"head: {name}", r) for name, r in IN_THE_HEAD.items()],
    *[("timeout", f"head: {name}", reply) for name, reply in IN_THE_HEAD.items()],
    ("first_token_timeout", "chunk size", chunk_size_line()),
    ("idle_timeout", "chunk size", chunk_size_line(chunk("a"))),
    ("timeout", "chunk size", chunk_size_line(chunk("a"))),
]


@pytest.mark.parametrize("way", ["http", "tunnel"])
@pytest.mark.parametrize(
    ("option", "reply"),
    [pytest.param(option, reply, id=f"{option}-{name}") for option, name, reply in DEADLINES],
)
def test_deadlines_are_exact(ask_by, buffer, way, option, reply):
    """A deadline ends a call within 10 % and 100 ms, whatever trickles."""
    backend = ask_by(way, *[reply] * TRIES, buffer=buffer, **{"timeout": None, option: LIMIT})

    def one_try():
        begun = time.monotonic()
        with pytest.raises(ie.DeadlineError) as caught:
            backend.complete("x")
        over = time.monotonic() - begun - LIMIT
        assert over > -0.1 * LIMIT
        assert caught.value.phase == option.removesuffix("_timeout").replace("timeout", "total")
        return (over,)

    assert_prompt(one_try, OVERSHOOT)


class Slow:
    """Accept one connection after the other, and send bytes one at a time."""

    def __init__(self, data):
        self._data = data
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(SOON)

    def _serve(self):
        while True:
            try:
                peer, _ = self._listener.accept()
                with peer:
                    peer.recv(1)
                    for byte in self._data * 1000:
                        if self._over.wait(EVERY):
                            return
                        peer.sendall(bytes([byte]))
            except OSError:
                if self._over.is_set():
                    return


CONNECTING = {
    "handshake": b"\x16\x03\x03\x40\x00" + b"\x02" * 100,  # a record that never comes whole
    "CONNECT: header": b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 100,
    "CONNECT: status line": b"HTTP/1.1 200 " + b"O" * 100,
}


@pytest.mark.parametrize("option", ["connect_timeout", "timeout"])
@pytest.mark.parametrize("name", CONNECTING)
def test_connecting_is_exact(authority, option, name):
    """A handshake that trickles, and a proxy's answer that does, outlast no deadline."""
    with Slow(CONNECTING[name]) as slow:
        settings = {"api_key": "", "verify": authority[1], "timeout": None, option: LIMIT}
        if name == "handshake":
            settings["base_url"] = f"https://127.0.0.1:{slow.port}"
        else:
            proxies = {"https": f"http://127.0.0.1:{slow.port}"}
            settings |= {"base_url": "https://localhost:9", "proxies": proxies}
        with ie.OpenAiCompat(**settings) as backend:

            def one_try():
                begun = time.monotonic()
                with pytest.raises(ie.DeadlineError) as caught:
                    backend.stream("x")
                assert caught.value.phase == ("total" if option == "timeout" else "connect")
                return (time.monotonic() - begun - LIMIT,)

            assert_prompt(one_try, OVERSHOOT)


@pytest.mark.parametrize("option", ["first_token_timeout", "idle_timeout"])
def test_a_consumer_that_comes_late(ask, buffer, option):
    """Time between stream() and the first next() is the consumer's, and no silence."""
    gate = Gate()
    reply = Reply([gate, chunk("a"), chunk("b", finish_reason="stop"), b"data: [DONE]\n\n"])
    backend = ask(reply, buffer=buffer, **{option: LIMIT})
    with backend.stream("x") as stream:
        gate.open()
        assert not threading.Event().wait(2 * LIMIT)  # busy elsewhere
        assert "".join(stream.text()) == "ab"
