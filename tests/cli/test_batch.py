"""``batch``: a file of prompts in, a file of answers out, stopped and gone on with."""

from __future__ import annotations

import json
import os
import signal

import pytest
from cli.running import start

from inferd_engine.testing import Cut, Gate, Reply, Upstream, chunk, echo, error_reply, text_reply

HEAD = ("batch", "prompts.jsonl", "-o", "answers.jsonl", "-m", "m")


@pytest.fixture
def prompts(tmp_path):
    """Write a file of prompts."""

    def write(*lines):
        path = tmp_path / "prompts.jsonl"
        path.write_bytes(
            b"".join(
                line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n"
                for line in lines
            )
        )

    return write


@pytest.fixture
def answers(tmp_path):
    """Read the answers, by index."""

    def read():
        lines = (tmp_path / "answers.jsonl").read_text("utf-8").splitlines()
        found = [json.loads(line) for line in lines]
        return {line["index"]: line["completion"]["text"] for line in found}

    return read


def test_prompts_in_answers_out(here, prompts, answers):
    """A text, messages, and objects with fields of their own are asked; stdout stays empty."""
    prompts(
        "one",
        [{"role": "user", "content": "two"}],
        {"prompt": "three", "max_tokens": 2},
        {"messages": [{"role": "user", "content": "four"}], "system": "Own."},
        {"role": "user", "content": "five"},
    )
    with Upstream() as upstream:
        ran = here(*HEAD, "--base-url", upstream.url, "-s", "Be brief.", "--option", "top_p=0.5")
        bodies = {r.json["messages"][-1]["content"]: r.json for r in upstream.requests}
    assert (ran.returncode, ran.stdout) == (0, "")
    assert ran.stderr == "answers.jsonl: 5 of 5 answered\n"
    words = ["one", "two", "three", "four", "five"]
    assert list(bodies)
    assert set(bodies) == set(words)
    assert answers()[0] == "You said: one"
    assert set(answers()) == set(range(5))
    assert {word: bodies[word]["messages"][0]["content"] for word in words} == {
        **dict.fromkeys(words, "Be brief."),
        "four": "Own.",
    }
    assert [bodies[word].get("max_tokens") for word in words] == [None, None, 2, None, None]
    assert {body["top_p"] for body in bodies.values()} == {0.5}


def test_a_broken_line_is_named_and_the_rest_goes_on(here, prompts, answers):
    """What is no prompt is told with its number; when it is mended, it alone is asked."""
    broken = (b'{"prompt": "a"\n', b"7\n", b"\xff\n", b"{}\n", b'{"prompt": "a", "max_token": 1}\n')
    prompts("one", broken[0], b"\n", *broken[1:], "two")
    with Upstream() as upstream:
        ran = here(*HEAD, "--base-url", upstream.url)
        assert ran.returncode == 2
        *told, last = ran.stderr.splitlines()
        assert [line.split(": ")[1] for line in told] == [f"line {n}" for n in (2, 4, 5, 6, 7)]
        assert "not JSON" in told[0]
        assert "a list of messages" in told[1]
        assert "not UTF-8" in told[2]
        assert "neither 'prompt' nor 'messages'" in told[3]
        assert "did you mean 'max_tokens'" in told[4]
        assert last == "answers.jsonl: 2 of 7 answered; 5 failed, which the same command asks anew"
        assert set(answers()) == {0, 6}
        prompts("one", "b", b"\n", "c", "d", "e", "f", "two")
        ran = here(*HEAD, "--base-url", upstream.url)
        assert (ran.returncode, len(upstream.requests)) == (0, 7)
    assert answers() == {n: f"You said: {w}" for n, w in enumerate(["one", *"bcdef", "two"])}


def test_prompts_that_are_alike_are_answered_each(here, prompts, answers):
    """A line that is there twice is asked twice."""
    prompts("one", "one", "one")
    with Upstream() as upstream:
        assert here(*HEAD, "--base-url", upstream.url).returncode == 0
        assert len(upstream.requests) == 3
    assert len(answers()) == 3


def test_stdin(here, answers):
    """``-`` reads the prompts from stdin; a byte order mark and CRLF are taken off."""
    with Upstream() as upstream:
        ran = here(
            *("batch", "-", "--output", "answers.jsonl", "-m", "m", "--base-url", upstream.url),
            stdin=b'\xef\xbb\xbf"one"\r\n"two"',
        )
    assert ran.returncode == 0, ran.stderr
    assert answers() == {0: "You said: one", 1: "You said: two"}


@pytest.mark.parametrize(
    ("reply", "code", "said"),
    [
        (error_reply(500, "broken"), 1, "the upstream answered 500"),
        (error_reply(400, "broken"), 1, "the upstream answered 400"),
        (Reply([chunk("half"), Cut()]), 3, "line 1: "),
    ],
)
def test_the_exit_code_says_what_failed(here, prompts, answers, reply, code, said):
    """As of other commands: 1 the upstream, 3 an answer that was cut, 2 a request that is wrong."""
    prompts("one", "two")
    with Upstream(reply) as upstream:
        options = ("--base-url", upstream.url, "--attempts", "1", "--concurrency", "1")
        ran = here(*HEAD, *options)
        assert ran.returncode == code
        assert said in ran.stderr
        assert "1 of 2 answered; 1 failed, which the same command asks anew" in ran.stderr
        assert set(answers()) == {1}
        assert here(*HEAD, *options).returncode == 0
    assert set(answers()) == {0, 1}


def test_it_asks_again(here, prompts, answers):
    """What may pass is tried again, three times unless --attempts says otherwise."""
    prompts("one")
    busy = error_reply(429, "busy", headers={"retry-after": "0"})
    with Upstream(busy, Reply([chunk("half"), Cut()]), text_reply("whole")) as upstream:
        ran = here(*HEAD, "--base-url", upstream.url, "--concurrency", "auto")
    assert (ran.returncode, answers()) == (0, {0: "whole"})


def test_many_failures_are_counted(here, prompts):
    """The first are told one by one."""
    prompts(*[{} for _ in range(30)])
    with Upstream() as upstream:
        ran = here(*HEAD, "--base-url", upstream.url)
    lines = ran.stderr.splitlines()
    assert (len(lines), lines[-2]) == (22, "and 10 more")
    assert lines[-1].startswith("answers.jsonl: 0 of 30 answered; 30 failed")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["batch"], "wants a file for the answers"),
        (["batch", "prompts.jsonl"], "-o ANSWERS"),
        (["batch", "-o", "a"], "one file of prompts, or - for stdin"),
        (["batch", "a", "b", "-o", "c"], "one file of prompts"),
        (["batch", "none.jsonl", "-o", "a"], "none.jsonl cannot be read: No such file"),
        (["batch", "prompts.jsonl", "-m", "m", "-o", "."], "is not a file"),
        (
            ["batch", "prompts.jsonl", "-m", "m", "-o", "prompts.jsonl"],
            "is not a journal of a batch",
        ),
        ([*HEAD, "--concurrency", "0"], "concurrency is 0"),
        ([*HEAD, "--concurrency", "many"], "--concurrency: is not a whole number, nor auto"),
        ([*HEAD, "--attempts", "0"], "attempts"),
        ([*HEAD, "--max-tokens", "0"], "max_tokens is 0"),
        ([*HEAD, "--option", "model=x"], "--model NAME"),
        ([*HEAD, "-a", "x.png"], "-a"),
    ],
)
def test_a_wrong_command_asks_nobody(here, prompts, words, said):
    """What is wrong is told before anything is sent."""
    prompts("one")
    with Upstream() as upstream:
        ran = here(*words, "--base-url", upstream.url)
        assert (ran.returncode, upstream.requests) == (2, [])
    assert said in ran.stderr


@pytest.mark.skipif(os.name == "nt", reason="a signal that a process is sent")
def test_ctrl_c_leaves_a_file_to_go_on_with(here, prompts, answers, tmp_path):
    """Ctrl-C stops at once, says what there is, and the same command goes on."""
    prompts("one", "two", "three")
    gate = Gate()
    answer = lambda r: Reply([gate]) if "two" in r.json["messages"][-1]["content"] else echo(r)  # noqa: E731
    with Upstream(otherwise=answer) as upstream:
        options = ("--base-url", upstream.url, "--concurrency", "1")
        process = start(*HEAD, *options, cwd=tmp_path)
        with process:
            upstream.wait_for_request(2)
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=20)
        assert process.returncode == 130
        assert b"answers.jsonl has what was answered: the same command goes on" in told
        assert answers() == {0: "You said: one"}
    with Upstream() as upstream:
        ran = here(*HEAD, "--base-url", upstream.url)
        assert (ran.returncode, len(upstream.requests)) == (0, 2)
    assert set(answers()) == {0, 1, 2}
