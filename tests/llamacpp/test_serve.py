"""``serve --llamacpp``: a server whose computing stops when the client leaves."""

from __future__ import annotations

import re
import time

import pytest
from cli.running import run, start

import inferd_engine as ie

LONG = "я" * 7000  # half a minute of reading


def test_a_client_that_leaves_stops_the_model(slow):
    """The next is answered long before the first would have been."""
    server = start("serve", "--llamacpp", str(slow), "-o", "n_threads=1", text=True)
    try:
        said = server.stdout.readline()
        url = re.search(r"http://\S+", said)[0]
        assert said.endswith("for slow, in this process\n")
        backend = ie.OpenAiCompat(base_url=url, api_key="", model="slow", first_token_timeout=1.0)
        try:
            backend.complete(LONG)
        except ie.DeadlineError:
            left = time.monotonic()
        patient = backend.with_options(first_token_timeout=None)
        answer = patient.complete("Hi", max_tokens=2)
        assert answer.usage.output_tokens == 2
        assert time.monotonic() - left < 12
    finally:
        server.kill()
        server.communicate()


def test_settings_of_the_model_are_options(tiny):
    """What ``LlamaCpp`` takes by name, defaults of requests included."""
    words = ("-o", "n_ctx=512", "-o", "n_threads=1", "-o", "max_tokens=3", "-o", "seed=1")
    server = start("serve", "--llamacpp", str(tiny), *words, text=True)
    try:
        url = re.search(r"http://\S+", server.stdout.readline())[0]
        with ie.OpenAiCompat(base_url=url, api_key="", model="tiny") as backend:
            answers = [backend.complete("Hi") for _ in range(2)]
            assert answers[0].text == answers[1].text
            assert answers[0].usage.output_tokens == 3
            with pytest.raises(ie.HttpStatusError, match="room for 512"):
                backend.complete("я" * 600)
    finally:
        server.kill()
        server.communicate()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-o", "n_cxt=3"), "-o n_cxt=… is nothing that --llamacpp knows"),
        (("-o", "n_ctx=-3"), "n_ctx is -3"),
        (("-o", "system=x"), "-o system=… is nothing that --llamacpp knows"),
        (("-o", "top_p=0.5"), "-o top_p=… is nothing that --llamacpp knows"),
    ],
)
def test_what_is_no_setting_is_told_in_a_line(words, said):
    """With exit code 2, before anything is loaded."""
    done = run("serve", "--llamacpp", "nowhere.gguf", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
