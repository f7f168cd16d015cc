"""A backend in other processes: the right key, or a clear word at the first call; no dead pool."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import operator
import os
import pathlib
import pickle
import subprocess
import sys
import textwrap

import pytest

import inferd_engine as ie
from inferd_engine.testing import Upstream

KEY = "sk-canary-0123456789"
OTHER = "sk-other-9876543210"
TIMEOUT = 60


def ask_there(backend, prompt):
    """Ask in another process; tell what came, or what was said."""
    try:
        return backend.complete(prompt).text
    except ie.GenerateError as error:
        return f"{type(error).__name__}: {error}"


GIVEN = {
    "api_key": {"api_key": KEY},
    "a function": {"api_key": lambda: KEY},
    "headers['X-Team'] and headers['Authorization']": {
        "headers": {"X-Team": KEY, "Authorization": f"Bearer {KEY}"}
    },
    "the password in proxies['http']": {"proxies": {"http": f"http://me:{KEY}@127.0.0.1:9"}},
    "the query of base_url": {"base_url": f"http://127.0.0.1:9/v1?key={KEY}"},
}
AGAIN = {"a function": "api_key", "headers['X-Team'] and headers['Authorization']": "headers"}


@pytest.mark.parametrize("place", GIVEN)
def test_what_was_given_is_asked_for_again(ask, monkeypatch, place):
    """The first call says what is missing and how to give it; then all is as it was."""
    monkeypatch.setenv("OPENAI_API_KEY", OTHER)
    settings = {"base_url": "http://127.0.0.1:9", "api_key": "", **GIVEN[place]}
    pickled = pickle.dumps(ie.OpenAiCompat(**settings))
    assert KEY.encode() not in pickled
    with pickle.loads(pickled) as copy:
        assert copy.config.timeout == 300.0
        for call in (copy.models, lambda: copy.complete("x")):
            with pytest.raises(ie.InvalidRequestError) as caught:
                call()
            said = str(caught.value)
            assert said.startswith(f"{AGAIN.get(place, place)}".replace("headers", place))
            field = next(name for name in GIVEN[place])
            assert f"with_options({field}=…)" in said
        again = copy.with_options(model="m").with_options(**GIVEN[place])
        assert again.config == ie.OpenAiCompat(**settings, model="m").config


def test_nothing_is_sent_without_what_is_missing(ask, monkeypatch):
    """Neither without a key nor with another one."""
    monkeypatch.setenv("OPENAI_API_KEY", OTHER)
    backend = ask(api_key=KEY)
    with pickle.loads(pickle.dumps(backend)) as copy:
        assert ask_there(copy, "x").startswith("InvalidRequestError: api_key: given explicitly")
        assert backend.upstream.requests == []
        assert copy.with_options(api_key=KEY).complete("x").text
        assert copy.with_options(api_key=None).complete("x").text  # asked for by name
    sent = [received.headers["authorization"] for received in backend.upstream.requests]
    assert sent == [f"Bearer {KEY}", f"Bearer {OTHER}"]


def test_no_key_stays_none(ask, monkeypatch):
    """A backend without a key has none elsewhere, whatever the environment there holds."""
    backend = ask(api_key="")
    pickled = pickle.dumps(backend)
    monkeypatch.setenv("OPENAI_API_KEY", OTHER)
    with pickle.loads(pickled) as copy:
        assert copy.complete("x").text
    assert "authorization" not in backend.upstream.requests[0].headers


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ("", "MY_KEY is not set in this process"),
        (f"{OTHER}\n", "MY_KEY holds a blank, a line end"),
    ],
)
def test_a_variable_that_is_wrong_there(ask, monkeypatch, there, said):
    """Unpickling never raises; the first call says what is the matter with the variable."""
    monkeypatch.setenv("MY_KEY", KEY)
    pickled = pickle.dumps(ask(api_key=None, api_key_variable="MY_KEY"))
    monkeypatch.setenv("MY_KEY", there)
    monkeypatch.setenv("OPENAI_API_KEY", OTHER)
    with pickle.loads(pickled) as copy:
        with pytest.raises(ie.InvalidRequestError, match=said):
            copy.complete("x")
        monkeypatch.setenv("MY_KEY", KEY)
        with pickle.loads(pickle.dumps(copy)) as later:  # passed on, to where it is set
            assert later.complete("x").text


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_pool_is_not_broken(ask, monkeypatch, method):
    """A pool of processes whose environment is wrong works on, and every task is told."""
    monkeypatch.setenv("OPENAI_API_KEY", "")
    backend = ask(api_key=None)
    remote = backend.with_options(base_url="http://upstream.invalid")
    context = multiprocessing.get_context(method)
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")
    ask_it = operator.methodcaller("complete", "x")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        told = [pool.submit(ask_it, asked).exception(TIMEOUT) for asked in (backend, remote)]
        assert pool.submit(os.getpid).result(TIMEOUT) != os.getpid()
    assert {type(error) for error in told} == {ie.InvalidRequestError}
    assert all("OPENAI_API_KEY holds a blank" in str(error) for error in told)


# --- other people's pools and caches -------------------------------------------------------------


def test_cloudpickle(monkeypatch):
    """cloudpickle, which takes functions along, takes no secret along."""
    cloudpickle = pytest.importorskip("cloudpickle")
    for given in GIVEN.values():
        backend = ie.OpenAiCompat(**{"base_url": "http://127.0.0.1:9", "api_key": "", **given})
        dumped = cloudpickle.dumps(backend)
        assert KEY.encode() not in dumped
        assert "given explicitly" in ask_there(cloudpickle.loads(dumped), "x")


def test_joblib(ask):
    """Equal backends hash equal, and answers are kept in a cache without their key."""
    joblib = pytest.importorskip("joblib")
    backend = ask(api_key=KEY)
    twin = ie.OpenAiCompat(base_url=backend.config.base_url, api_key=KEY, timeout=20.0)
    assert joblib.hash(backend) == joblib.hash(twin)
    assert joblib.hash(backend) != joblib.hash(twin.with_options(model="m"))
    memory = joblib.Memory("cache", verbose=0)
    kept = memory.cache(ask_there)
    assert [kept(backend, "x"), kept(twin, "x")] == ["You said: x"] * 2
    assert len(backend.upstream.requests) == 1
    kept_files = [path for path in pathlib.Path("cache").rglob("*") if path.is_file()]
    assert kept_files
    assert not any(KEY.encode() in path.read_bytes() for path in kept_files)
    threads = joblib.Parallel(n_jobs=2, backend="threading")
    told = threads(joblib.delayed(ask_there)(backend, word) for word in "abc")
    assert told == ["You said: a", "You said: b", "You said: c"]


def test_dask_tokens():
    """Equal backends have one token, which tells nothing of the key."""
    dask = pytest.importorskip("dask")
    tokenize = pytest.importorskip("dask.tokenize").tokenize
    with dask.config.set({"tokenize.ensure-deterministic": True}):
        tokens = {
            tokenize(ie.OpenAiCompat(base_url="http://127.0.0.1:9", api_key=key, model=model))
            for key in (KEY, KEY, OTHER)
            for model in ("a", "b")
        }
        assert tokenize(ie.OpenAiCompatConfig(api_key=KEY))
    assert len(tokens) == 2


PROGRAM = """
    import os, sys
    import inferd_engine as ie

    def ask(backend, prompt):
        return backend.complete(prompt).text

    def run(pool):
        backend = ie.OpenAiCompat(base_url=sys.argv[1])
        assert pool(ask, backend, "abc") == ["You said: a", "You said: b", "You said: c"]
        given = backend.with_options(api_key="sk-given-0123456789")
        try:
            pool(ask, given, "abc")
        except ie.InvalidRequestError as error:
            assert "api_key: given explicitly" in str(error), error
        else:
            raise AssertionError
        assert pool(ask, backend, "d") == ["You said: d"]
"""
JOBLIB = """
    import joblib

    if __name__ == "__main__":
        with joblib.Parallel(n_jobs=2, backend="loky") as parallel:
            run(lambda ask, backend, words: parallel(
                joblib.delayed(ask)(backend, word) for word in words
            ))
        print("fine")
"""
DASK = """
    from dask.distributed import Client, LocalCluster

    if __name__ == "__main__":
        with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
            with Client(cluster) as client:
                run(lambda ask, backend, words: client.gather(
                    client.map(ask, [backend] * len(words), list(words))
                ))
        print("fine")
"""


@pytest.mark.parametrize(("module", "pool"), [("joblib", JOBLIB), ("distributed", DASK)])
def test_pools_of_others(tmp_path, module, pool):
    """In joblib's and dask's processes the key comes from the variable there."""
    pytest.importorskip(module)
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM) + textwrap.dedent(pool), "utf-8")
    with Upstream(api_key=KEY) as upstream:
        ran = subprocess.run(
            [sys.executable, str(program), upstream.url],
            env={**os.environ, "OPENAI_API_KEY": KEY},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        assert (ran.returncode, ran.stdout) == (0, "fine\n"), ran.stderr
        assert len(upstream.requests) == 4
    assert KEY not in ran.stderr
    assert "sk-given" not in ran.stderr
