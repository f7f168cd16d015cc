"""Backends and errors across processes that ``multiprocessing`` starts, in every way it has."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import textwrap

import pytest

from inferd_engine.testing import (
    DONE,
    Cut,
    Gate,
    Reply,
    Stall,
    Upstream,
    chunk,
    error_reply,
    event,
    stream_reply,
    text_reply,
)

TIMEOUT = 60
METHODS = multiprocessing.get_all_start_methods()
KEY = "sk-canary-0123456789"

PREAMBLE = """
    import concurrent.futures, multiprocessing, os, pickle, sys, warnings
    import inferd_engine as ie

    warnings.simplefilter("ignore", DeprecationWarning)  # fork with threads
"""


@pytest.fixture
def run(tmp_path):
    """Run a program that can be imported, as children that are spawned do."""

    def run(program, *arguments):
        path = tmp_path / "program.py"
        path.write_text(textwrap.dedent(PREAMBLE) + textwrap.dedent(program), "utf-8")
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        ran = subprocess.run(
            [sys.executable, str(path), *arguments],
            env={**clean, "OPENAI_API_KEY": KEY},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        assert ran.stderr == ""
        assert (ran.returncode, ran.stdout) == (0, "fine\n")

    return run


POOL = """
    def ask(backend, number):
        return backend.complete(f"number {number}").text, os.getpid()

    if __name__ == "__main__":
        context = multiprocessing.get_context(sys.argv[2])
        backend = ie.OpenAiCompat(base_url=sys.argv[1])
        assert backend.complete("warm up").text
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
            answers = list(pool.map(ask, [backend] * 10, range(10)))
        assert [text for text, _ in answers] == [f"You said: number {n}" for n in range(10)]
        assert os.getpid() not in {pid for _, pid in answers}
        assert backend.complete("once more").text == "You said: once more"
        backend.close()
        print("fine")
"""


@pytest.mark.parametrize("method", METHODS)
def test_a_backend_is_passed_to_children(run, method):
    """A backend that goes to other processes works there with connections of their own."""
    with Upstream(api_key=KEY) as upstream:
        run(POOL, upstream.url, method)
        assert len(upstream.requests) == 12
        assert all(received.finished.is_set() for received in upstream.requests)


ERRORS = """
    def fail(backend):
        backend.complete("x", id="mine")

    def fail_and_tell(backend, asked, told):
        while asked.get():
            try:
                fail(backend)
            except ie.GenerateError as error:
                told.put(error)

    def everything(error):
        return type(error), str(error), vars(error)

    if __name__ == "__main__":
        context = multiprocessing.get_context(sys.argv[2])
        backend = ie.OpenAiCompat(base_url=sys.argv[1], first_token_timeout=0.1, idle_timeout=0.1)
        asked, told = context.SimpleQueue(), context.SimpleQueue()
        process = context.Process(target=fail_and_tell, args=(backend, asked, told))
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
            for number in range(int(sys.argv[3])):
                try:
                    fail(backend)
                except ie.GenerateError as error:
                    here = error
                there = pool.submit(fail, backend).exception()  # its cause is the pool's own
                assert everything(there) == everything(here), (here, there)
                key = os.environ["OPENAI_API_KEY"]
                assert key.encode() not in pickle.dumps(there)
                assert key not in str(there.__cause__)
                if process.pid is None:  # not before the backend was used here
                    process.start()
                asked.put(True)
                there = told.get()
                assert everything(there) == everything(here), (here, there)
                assert type(there.__cause__) is type(here.__cause__)
                assert str(there.__cause__) == str(here.__cause__)
        asked.put(False)
        process.join()
        assert process.exitcode == 0
        print("fine")
"""

BAD_CALL = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{oops"}}
FAULTS = [
    error_reply(429, "Slow down.", headers={"Retry-After": "7", "X-Request-Id": "r"}),
    Reply([chunk("half"), Cut()]),
    Reply([chunk("half"), event({"error": {"message": "boom", "code": 500}})]),
    Reply([chunk("half"), Stall()]),
    Reply(before=[Stall()]),
    Reply(before=[Cut()]),
    stream_reply([chunk("half"), chunk(tool_calls=[BAD_CALL])], finish_reason="tool_calls"),
]


@pytest.mark.parametrize("method", METHODS)
def test_errors_come_back_whole(run, method):
    """An error that another process met is the same here: class, text, fields, cause, partial."""
    replies = [fault for fault in FAULTS for _ in range(3)]
    with Upstream(*replies) as upstream:
        run(ERRORS, upstream.url, method, str(len(FAULTS)))
        assert len(upstream.requests) == len(replies)


INHERITED = """
    def child(backend, stream, queue):
        told = []
        try:
            list(stream)
        except ie.InternalError as error:
            told.append(str(error))
        told.append(backend.complete("from the child").text)
        backend.stop()
        queue.put(told)

    if __name__ == "__main__":
        context = multiprocessing.get_context("fork")
        backend = ie.OpenAiCompat(base_url=sys.argv[1])
        stream = backend.stream("x")
        assert next(stream).delta == "0 "
        assert backend.complete("warm up").text == "warm"  # its connection waits for use
        queue = context.SimpleQueue()
        children = [
            context.Process(target=child, args=(backend, stream, queue)) for _ in range(3)
        ]
        for process in children:
            process.start()
        for process in children:
            said, text = queue.get()
            assert "forked" in said and text == "You said: from the child"
            process.join()
            assert process.exitcode == 0
        backend.models()  # the sign for the upstream to go on
        assert "".join(stream.text()) == "1 2 3 4 "
        assert backend.complete("from the parent").text == "You said: from the parent"
        backend.close()
        print("fine")
"""


@pytest.mark.skipif("fork" not in METHODS, reason="needs fork")
def test_children_that_inherit_a_stream(run):
    """Children that were forked, stop the backend and end as processes do, leave ours alone."""
    gate = Gate()
    steps = [chunk("0 "), gate, *[chunk(f"{n} ") for n in range(1, 5)]]
    waiting = Reply([*steps, chunk(finish_reason="stop"), DONE])
    with Upstream(waiting, text_reply("warm"), models=_opening(gate)) as upstream:
        run(INHERITED, upstream.url)
        assert upstream.requests[0].finished.is_set()
        assert upstream.connections == 5  # the stream's, the pool's, and one of each child


class _opening(list):  # noqa: N801 - a value that acts when it is looked at
    """A list of models that opens a gate when it is asked for."""

    def __init__(self, gate):
        super().__init__(["m"])
        self._gate = gate

    def __iter__(self):
        self._gate.open()
        return super().__iter__()
