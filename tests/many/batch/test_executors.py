"""Asking by way of somebody's executor: threads and processes."""

from __future__ import annotations

import concurrent.futures
import itertools
import os
import subprocess
import sys
import textwrap
import threading

import pytest

import inferd_engine as ie
from inferd_engine.testing import Reply, Stall, Upstream, chunk, text_reply

SOON = 10.0
TIMEOUT = 60
KEY = "sk-canary-0123456789"

PREAMBLE = """
    import concurrent.futures, multiprocessing, os, sys, time
    import inferd_engine as ie

    def pool(workers=2):
        spawn = multiprocessing.get_context("spawn")
        return concurrent.futures.ProcessPoolExecutor(workers, mp_context=spawn)
"""


@pytest.fixture
def run(tmp_path):
    """Run a program that can be imported, as processes that are spawned do; give what it says."""

    def run(program, *arguments, **variables):
        path = tmp_path / "program.py"
        path.write_text(textwrap.dedent(PREAMBLE) + textwrap.dedent(program), "utf-8")
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        ran = subprocess.run(
            [sys.executable, str(path), *arguments],
            env={**clean, **variables},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
            cwd=tmp_path,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.splitlines()

    return run


def test_threads_of_an_executor():
    """A ThreadPoolExecutor asks; the batch bounds what is under way."""
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        results = list(ie.Mock("a").map(["x"] * 50, executor=pool, ordered=True))
    assert [result.index for result in results] == list(range(50))
    assert all(result.completion.text == "a" for result in results)


def test_threads_of_an_executor_are_told_of_the_end():
    """What runs in threads of this process ends with the batch, as in ours."""
    stalled = Reply([chunk("a"), Stall()])
    with Upstream(otherwise=lambda _: stalled) as upstream:
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            with ie.OpenAiCompat(base_url=upstream.url, api_key="") as backend:
                token = ie.CancelToken()
                results = backend.map(itertools.repeat("x"), executor=pool, cancel=token)
                canceller = threading.Thread(
                    target=lambda: (upstream.wait_for_request(3), token.cancel())
                )
                canceller.start()
                with pytest.raises(ie.RequestCancelledError):
                    next(results)
                canceller.join()
        assert all(received.gone.wait(SOON) for received in upstream.requests)


def test_processes(run):
    """Processes that are spawned ask, over connections that they keep."""
    with Upstream(otherwise=lambda _: text_reply("a")) as upstream:
        said = run(
            """
            if __name__ == "__main__":
                with ie.OpenAiCompat(sys.argv[1], api_key="") as backend, pool() as executor:
                    results = list(backend.map(["x"] * 40, executor=executor, journal="j"))
                    again = list(backend.map(["x"] * 40, executor=executor, journal="j"))
                print(sorted(r.index for r in results) == list(range(40)))
                print({r.completion.text for r in results} == {"a"}, len(again))
            """,
            upstream.url,
        )
        assert said == ["True", "True 40"]
        assert len(upstream.requests) == 40
        assert upstream.connections <= 2


def test_a_key_does_not_go_along(run):
    """A given key is left out, and each result says so; one of a variable is read there again."""
    with Upstream(otherwise=lambda _: text_reply("a"), api_key=KEY) as upstream:
        said = run(
            """
            if __name__ == "__main__":
                given = ie.OpenAiCompat(sys.argv[1], api_key=os.environ["OPENAI_API_KEY"])
                named = ie.OpenAiCompat(sys.argv[1])
                with pool(1) as executor:
                    (result,) = given.map(["x"], executor=executor)
                    print(type(result.error).__name__, "holds no secrets" in str(result.error))
                    (result,) = named.map(["x"], executor=executor)
                    print(result.completion)
            """,
            upstream.url,
            OPENAI_API_KEY=KEY,
        )
        assert said == ["InvalidRequestError True", "a"]
        assert len(upstream.requests) == 1


def test_errors_come_back_whole(run):
    """An error of another process is as it was there, and is retried from here."""
    said = run(
        """
        def answer(request):
            return ie.HttpStatusError("busy", status=429, retry_after=0.01)

        if __name__ == "__main__":
            with pool(1) as executor:
                (result,) = ie.Mock(answers=[answer]).map(
                    ["x"], executor=executor, retry=ie.Retry(attempts=3)
                )
            print(result.error.status, result.attempts, result.error.retry_after)
        """
    )
    assert said == ["429 3 0.01"]


def test_a_worker_that_is_killed(run):
    """A pool that has lost a worker is broken: that is raised, and the journal goes on."""
    said = run(
        """
        def answer(request):
            if request.messages[-1].content[0].text == "7" and not os.path.exists("killed"):
                open("killed", "w").close()
                os._exit(1)
            return "a"

        def ask(given):
            prompts = [str(number) for number in range(20)]
            mock = ie.Mock(answers=[answer])
            with pool() as executor:
                for result in mock.map(
                    prompts, executor=executor, journal="j", concurrency=2, retry=ie.Retry()
                ):
                    given.append(result.index)

        if __name__ == "__main__":
            given = []
            try:
                ask(given)
            except ie.InternalError as error:
                print("answers no more" in str(error), len(given) == len(set(given)))
            again = []
            ask(again)
            print(sorted(again) == list(range(20)))
        """
    )
    assert said == ["True True", "True"]


def test_loky():
    """Loky's executor asks, too."""
    loky = pytest.importorskip("joblib.externals.loky")
    executor = loky.ProcessPoolExecutor(1)
    try:
        results = list(ie.Mock("a").map(["x"] * 5, executor=executor))
    finally:
        executor.shutdown(wait=True, kill_workers=True)
    assert [result.completion.text for result in results] == ["a"] * 5


class Elsewhere(concurrent.futures.Executor):
    """An executor of somebody's own, which does it here and now."""

    def __init__(self, fail=None):
        self.fail = fail

    def submit(self, call, /, *args, **kwargs):
        future = concurrent.futures.Future()
        future.set_running_or_notify_cancel()
        if self.fail is not None:
            future.set_exception(self.fail)
        else:
            future.set_result(call(*args, **kwargs))
        return future


def test_somebodys_own_executor():
    """Whatever has submit() will do."""
    results = list(ie.Mock("a").map(["x"] * 5, executor=Elsewhere()))
    assert [result.completion.text for result in results] == ["a"] * 5


def test_what_an_executor_loses_is_a_result():
    """An error of the executor's own, such as a worker that it gave up, is one prompt's."""
    (result,) = ie.Mock("a").map(["x"], executor=Elsewhere(KeyError("lost")))
    assert isinstance(result.error, ie.UnavailableError)
    assert "lost the request: KeyError" in str(result.error)
    assert result.error.retryable


def test_a_backend_that_cannot_be_pickled():
    """It is named before anything is sent; threads need no pickle."""
    mock = ie.Mock(answers=[lambda _: "a"])
    with pytest.raises(ie.InvalidRequestError, match="the backend cannot be pickled"):
        mock.map(["x"], executor=Elsewhere())
    assert mock.requests == []
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        (result,) = mock.map(["x"], executor=pool)
    assert result.completion.text == "a"


def test_an_executor_that_was_shut_down():
    """What takes no work is told once, not for every prompt."""
    pool = concurrent.futures.ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(ie.InternalError, match="answers no more"):
        list(ie.Mock("a").map(["x"] * 5, executor=pool))
