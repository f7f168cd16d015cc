"""Where greenlets have taken the place of threads: gevent, eventlet."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from inferd_engine.testing import Reply, Stall, Upstream, chunk, echo, text_reply

TIMEOUT = 50
PROGRAM = """
    import warnings
    warnings.simplefilter("ignore")  # eventlet's own, of its end
    {patch}
    import sys, time
    import inferd_engine as ie
    backend = ie.OpenAiCompat(base_url=sys.argv[1], api_key="", buffer=int(sys.argv[2]))
    several = [spawn(backend.complete, f"n {{n}}") for n in range(20)]
    texts = [result(one).text for one in several]
    assert texts == [f"You said: n {{n}}" for n in range(20)]
    stream = backend.stream("stall")
    assert next(stream).delta == "a"
    spawn_after(0.05, stream.close)
    assert list(stream) == [] and stream.cancelled
    try:
        backend.with_options(idle_timeout=0.1).complete("stall")
    except ie.DeadlineError as error:
        assert error.phase == "idle"
    token = ie.CancelToken()
    stream = backend.stream("stall", cancel=token)
    token.cancel_after(0.05)
    assert list(stream)[1:] == [] and stream.cancelled

    stream, given = backend.stream("slow"), []
    while not stream.ended:
        try:
            with Timeout(0.07):
                event = next(stream)
                given.append(event.type if event.type == "done" else event.delta)
        except Timeout:
            given.append("-")
    assert "".join(given).replace("-", "") == "a b c ddone", given
    assert given.count("-") >= 4, given

    job = spawn(backend.complete, "stall")
    sleep(0.1)
    begun = time.monotonic()
    kill(job)
    assert time.monotonic() - begun < 1
    backend.close()
    print("fine", len(given))
"""
PATCH = {
    "gevent": """
    from gevent import Timeout, monkey, sleep, spawn, spawn_later as spawn_after
    monkey.patch_all()
    def result(job):
        return job.get()
    def kill(job):
        job.kill()
    """,
    "eventlet": """
    import eventlet
    eventlet.monkey_patch()
    from eventlet import Timeout, kill, sleep, spawn, spawn_after
    def result(job):
        return job.wait()
    """,
}


def run_program(program, *arguments):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def answer(received):
    """Stall, be slow, or echo, as the prompt asks."""
    said = received.json["messages"][-1]["content"]
    if said == "stall":
        return Reply([chunk("a"), Stall()])
    return text_reply("a b c d", delay=0.15) if said == "slow" else echo(received)


@pytest.mark.parametrize("buffer", ["512", "0"])
@pytest.mark.parametrize("library", PATCH)
def test_greenlets(library, buffer):
    """Streams, closing, deadlines, tokens, and time limits that are thrown into a next() work."""
    pytest.importorskip(library, reason="greenlets are CPython's")
    with Upstream(otherwise=answer) as upstream:
        program = textwrap.dedent(PROGRAM).format(patch=textwrap.dedent(PATCH[library]))
        ran = run_program(program, upstream.url, buffer)
        assert (ran.stderr, ran.returncode, ran.stdout[:4]) == ("", 0, "fine")
        killed = [
            one for one in upstream.requests if one.json["messages"][-1]["content"] == "stall"
        ]
        assert killed[-1].gone.wait(10)


def test_gevent_that_comes_late():
    """Patching after requests was imported is told as such, not as a RecursionError."""
    pytest.importorskip("gevent", reason="gevent is CPython's")
    program = """
        import requests, warnings
        warnings.simplefilter("ignore")
        from gevent import monkey
        monkey.patch_all()
        import inferd_engine as ie
        try:
            ie.OpenAiCompat(base_url="https://127.0.0.1:9", api_key="").stream("x")
        except ie.InternalError as error:
            assert "before anything else" in str(error)
            print("fine")
    """
    ran = run_program(program)
    assert (ran.returncode, ran.stdout) == (0, "fine\n"), ran.stderr
