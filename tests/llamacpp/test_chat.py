"""``chat --llamacpp``: the command line without an upstream."""

from __future__ import annotations

import json

import pytest
from cli.running import run

import inferd_engine as ie

FEW = ("-o", "n_ctx=512", "-o", "n_threads=1", "--max-tokens", "8")


def test_it_answers_from_a_file(tiny):
    """The text alone on stdout; the same as from Python."""
    done = run("chat", "--llamacpp", str(tiny), *FEW, "-o", "seed=3", "Hi")
    assert (done.returncode, done.stderr) == (0, "[max_tokens]\n")
    with ie.LlamaCpp(model_path=tiny, n_ctx=512, n_threads=1) as backend:
        assert done.stdout == backend.complete("Hi", max_tokens=8, seed=3).text + "\n"


def test_events_can_be_had(tiny):
    """One a line, with the usage."""
    done = run("chat", "--llamacpp", str(tiny), *FEW, "--json", "Hi")
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["usage"]["output_tokens"] == 8


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--llamacpp", "nowhere.gguf"), "nowhere.gguf"),
        (("--llamacpp", "x.gguf", "--base-url", ":80"), "--base-url is for an upstream"),
        (("--llamacpp", "x.gguf", "-m", "x"), "--model is for an upstream"),
        (("--llamacpp", "x.gguf", "-o", "n_cxt=3"), "n_cxt"),
        (("--llamacpp", "x.gguf", "-o", "n_ctx=-3"), "n_ctx is -3"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(words, said):
    """With exit code 2."""
    done = run("chat", *words, "Hi")
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
