"""What happens around a stream: the interpreter ends, the process forks, sockets are mocked."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import textwrap
import threading

import pytest
from loopback.conftest import SOON

import inferd_engine as ie
from inferd_engine.testing import DONE, Gate, Reply, Stall, Upstream, chunk, text_reply

TIMEOUT = 60


def run_program(program, *arguments, **environment):
    """Run a program in an interpreter of its own, with buffered output as users have it."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *arguments],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


STALLED_STREAMS = """
    import sys, time, atexit
    import inferd_engine as ie
    backend = ie.OpenAiCompat(base_url=sys.argv[1], api_key="", buffer=int(sys.argv[3]))
    streams = [backend.stream("x") for _ in range(8)]
    for stream in streams:
        next(stream)
    begun = time.monotonic()
    atexit.register(lambda: sys.stdout.write("%.3f" % (time.monotonic() - begun)))
    if sys.argv[2] == "exit":
        sys.exit(3)
    if sys.argv[2] == "raise":
        raise SystemExit(4)
    print("done ", end="")
"""


@pytest.mark.parametrize("buffer", ["512", "2", "0"])
@pytest.mark.parametrize(("how", "code"), [("return", 0), ("exit", 3), ("raise", 4)])
@pytest.mark.parametrize("state", ["stalled", "flooding"])
def test_the_interpreter_ends(state, how, code, buffer):
    """With open streams the exit code is right, nothing is printed, and upstreams see the end."""
    steps = [chunk("a"), Stall()] if state == "stalled" else [chunk("a" * 1000)] * 100_000
    with Upstream(*[Reply(steps)] * 8) as upstream:
        ran = run_program(STALLED_STREAMS, upstream.url, how, buffer)
        assert (ran.returncode, ran.stderr) == (code, "")
        assert ran.stdout.startswith("done" if how == "return" else "0")
        assert all(received.gone.wait(30.0) for received in upstream.requests)


FORK = """
    import os, sys, warnings
    warnings.simplefilter("ignore", DeprecationWarning)  # fork with threads
    import inferd_engine as ie
    backend = ie.OpenAiCompat(base_url=sys.argv[1], api_key="")
    assert backend.complete("warm up").text
    stream = backend.stream("x")
    assert next(stream).delta == "0 "
    child = os.fork()
    if child == 0:
        try:
            next(stream)
        except ie.InternalError as error:
            assert "forked" in str(error)
        else:
            os._exit(1)
        stream.close()
        del stream
        answers = {backend.complete("from the child").text for _ in range(20)}
        os._exit(0 if answers == {"You said: from the child"} else 2)
    answers = {backend.complete("from the parent").text for _ in range(20)}
    assert answers == {"You said: from the parent"}
    assert os.waitpid(child, 0)[1] == 0
    urllib = __import__("urllib.request").request
    urllib.urlopen(sys.argv[1] + "/v1/models").read()  # the sign for the upstream to go on
    assert "".join(stream.text()) == "1 2 3 4 "
    backend.close()
    print("fine")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork():
    """A child neither uses nor closes its parent's connections, and gets its own."""
    gate = Gate()
    steps = [chunk("0 "), gate, *[chunk(f"{n} ") for n in range(1, 5)]]
    stalled = Reply([*steps, chunk(finish_reason="stop"), DONE])
    with Upstream(text_reply("warm"), stalled, models=["m"]) as upstream:
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(FORK), upstream.url],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        upstream.wait_for_request(43, timeout=TIMEOUT)  # 2, 20 of each, and the sign
        gate.open()
        out, errors = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, out, errors) == (0, "fine\n", "")


def test_without_sockets():
    """Under `responses` there is no socket: everything but cancelling works there."""
    import responses

    body = chunk("Hel") + chunk("lo") + chunk(finish_reason="stop") + DONE
    for buffer in (512, 0):
        with responses.RequestsMock() as mock:
            mock.post("http://mocked.example/v1/chat/completions", body=body)
            mock.get("http://mocked.example/v1/models", json={"data": [{"id": "m"}]})
            settings = {"base_url": "http://mocked.example", "api_key": "", "buffer": buffer}
            with ie.OpenAiCompat(**settings) as backend:
                assert backend.complete("x").text == "Hello"
                assert backend.models() == ["m"]
        with responses.RequestsMock() as mock, ie.OpenAiCompat(**settings) as backend:
            mock.post("http://mocked.example/v1/chat/completions", status=401, json={"error": "no"})
            with pytest.raises(ie.HttpStatusError, match="401"):
                backend.complete("x")


def test_two_hundred_and_fifty_six_streams():
    """One backend carries 256 streams at a time, more than its pool keeps, and all are whole."""
    count = 256
    gate = Gate()
    reply = Reply([chunk("a "), gate, chunk("b", finish_reason="stop"), DONE])
    with (
        Upstream(*[reply] * count) as upstream,
        ie.OpenAiCompat(base_url=upstream.url, api_key="", max_connections=100) as backend,
    ):
        streams = [backend.stream("x") for _ in range(count)]
        assert all(next(stream).delta == "a " for stream in streams)
        assert threading.active_count() > count  # the upstream's, one for each
        gate.open()
        assert all("".join(stream.text()) == "b" for stream in streams)


SLOW_CONSUMER = """
    import sys, time
    import inferd_engine as ie

    def resident():
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * 4096

    backend = ie.OpenAiCompat(base_url=sys.argv[1], api_key="", buffer=int(sys.argv[2]))
    backend.complete("warm up")
    stream = backend.stream("x")
    before = resident()
    next(stream)
    print("reading", flush=True)
    sys.stdin.readline()  # busy elsewhere, until the upstream stands still
    print(resident() - before)
    stream.close()
"""


@pytest.mark.skipif(not pathlib.Path("/proc/self").is_dir(), reason="needs /proc")
@pytest.mark.parametrize("buffer", ["512", "0"])
def test_a_slow_consumer_costs_no_memory(buffer):
    """Of 200 MB that nobody reads a client holds less than 16 MB, and the sender waits."""
    size = 200_000_000
    flood = Reply([chunk("x" * 1000)] * (size // 1000))
    with Upstream(text_reply("warm"), flood) as upstream:
        command = [sys.executable, "-c", textwrap.dedent(SLOW_CONSUMER), upstream.url, buffer]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout.readline() == "reading\n"
            received = upstream.wait_for_request(2)
            before = -1
            while before != received.sent:  # until it has stood still for a while
                before = received.sent
                assert not received.finished.wait(0.3)
            grown = int(process.communicate("\n", timeout=TIMEOUT)[0])
    assert grown < 16_000_000
    assert received.sent < size // 4


HELD = """
    import os, sys, time
    import inferd_engine as ie
    backend = ie.OpenAiCompat(base_url=sys.argv[1], api_key="", idle_timeout=0.2)
    stream = backend.stream("x")
    next(stream)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.read(reader, 1)  # holds copies of all descriptors until the parent ends
        os._exit(0)
    try:
        list(stream)
    except ie.DeadlineError:
        pass
    sys.stdout.write("over")
    sys.stdout.flush()
    sys.stdin.readline()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("steps", [[Stall()], [DONE, Stall()]], ids=["deadline", "done"])
def test_a_child_that_holds_the_connection(steps):
    """However an answer ends, the upstream hears of it, though a forked child has the sockets."""
    with Upstream(Reply([chunk("a"), *steps])) as upstream:
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(HELD), upstream.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout.read(4) == "over"
            assert upstream.requests[0].gone.wait(SOON)
            process.communicate("\n", timeout=SOON)


TAKEN = """
    import os, sys
    import inferd_engine as ie
    backend = ie.OpenAiCompat(base_url=sys.argv[1], api_key="")
    stream = backend.stream("x")
    next(stream)  # there are more in the same batch
    child = os.fork()
    if child == 0:
        try:
            next(stream)
        except ie.InternalError:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert "".join(stream.text()) == "1 2 3 4 "
    token = ie.CancelToken()
    token.cancel_after(0.5)
    with backend.stream("x", cancel=token):
        child = os.fork()
        if child == 0:
            stalled = backend.stream("stall", cancel=token)
            list(stalled)  # the token's clock goes here too
            os._exit(0 if stalled.cancelled else 1)
        assert os.waitpid(child, 0)[1] == 0
    print("fine")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_what_a_child_inherits():
    """A child gets none of the events that its parent's consumer has taken, and tokens work."""

    def reply(received):
        if received.json["messages"][-1]["content"] == "stall":
            return Reply([chunk("a"), Stall()])
        return Reply([b"".join(chunk(f"{n} ") for n in range(5)) + chunk(finish_reason="stop")])

    with Upstream(otherwise=reply) as upstream:
        ran = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", textwrap.dedent(TAKEN), upstream.url],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "fine\n", "")
