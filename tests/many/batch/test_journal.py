"""The journal: what it holds, what it refuses, and that nothing is given which is not in it."""

from __future__ import annotations

import errno
import itertools
import json
import math
import os
import stat
import subprocess
import sys
import textwrap
import threading

import pytest

import inferd_engine as ie
from inferd_engine.many.batch import journal as journals
from inferd_engine.testing import Upstream, error_reply, text_reply

PROMPTS = [f"p{number}" for number in range(20)]
WINDOWS = os.name == "nt"


def echoing():
    return ie.Mock(answers=[lambda r: f"to {r.messages[-1].content[0].text}"])


def lines_of(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "answers.jsonl"


@pytest.fixture
def half(path):
    """Give a journal that holds about half of the answers."""
    for number, _ in enumerate(echoing().map(PROMPTS, journal=path, concurrency=2), 1):
        if number == 10:
            break
    return path


def test_a_line_is_an_answer(path):
    """One JSON object a line: the index, a digest, the attempts, and Completion.to_dict()."""
    results = list(echoing().map(PROMPTS, journal=path))
    lines = {line["index"]: line for line in lines_of(path)}
    assert set(lines) == set(range(20))
    for result in results:
        line = lines[result.index]
        assert (line["journal"], line["attempts"]) == (1, 1)
        assert ie.Completion.from_dict(line["completion"]) == result.completion
        assert len(line) == 5
    assert len({line["digest"] for line in lines.values()}) == 20


def test_an_answer_is_on_disk_before_it_is_given(path, monkeypatch):
    """When a result is given, the disk has it: the file was synced after it was written."""
    synced = []
    real = os.fsync

    def fsync(descriptor):
        real(descriptor)
        synced.append(len(lines_of(path)))

    monkeypatch.setattr(journals.os, "fsync", fsync)
    for number, result in enumerate(echoing().map(PROMPTS, journal=path, concurrency=3), 1):
        assert result.index in [line["index"] for line in lines_of(path)]
        assert synced[-1] >= number


def test_what_it_holds_is_given_and_not_asked_again(half):
    """A batch goes on where it was left, and gives every prompt's result, once."""
    held = {line["index"] for line in lines_of(half)}
    mock = echoing()
    results = list(mock.map(PROMPTS, journal=half, concurrency=3))
    assert sorted(result.index for result in results) == list(range(20))
    assert all(result.completion.text == f"to p{result.index}" for result in results)
    asked = {int(request.messages[-1].content[0].text[1:]) for request in mock.requests}
    assert asked == set(range(20)) - held
    assert sorted(line["index"] for line in lines_of(half)) == list(range(20))
    again = echoing()
    assert len(list(again.map(PROMPTS, journal=half))) == 20
    assert again.requests == []


@pytest.mark.parametrize("lost", [[0], [3, 4, 17], [19], [0, 19]])
def test_order_is_kept_over_a_gap(path, lost):
    """What is missing in the middle is asked, and given in its place."""
    list(echoing().map(PROMPTS, journal=path, concurrency=1))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(line for at, line in enumerate(lines) if at not in lost))
    mock = echoing()
    results = list(mock.map(PROMPTS, journal=path, ordered=True, concurrency=2))
    assert [result.index for result in results] == list(range(20))
    assert [result.completion.text for result in results] == [f"to {p}" for p in PROMPTS]
    assert len(mock.requests) == len(lost)


def test_more_prompts_than_before(half):
    """Prompts may be added at the end, without an end even."""
    mock = echoing()
    seen = set()
    for result in mock.map((f"p{number}" for number in itertools.count()), journal=half):
        seen.add(result.index)
        if len(seen) == 40:
            break
    assert seen > set(range(20))


def test_failures_are_asked_anew(path):
    """A failure is given, and not written: the next run asks again."""
    with Upstream(error_reply(500, "broken"), text_reply("a"), text_reply("b")) as upstream:
        with ie.OpenAiCompat(base_url=upstream.url, api_key="") as backend:
            first = list(backend.map(["x", "y"], journal=path, concurrency=1, ordered=True))
            assert [result.error is None for result in first] == [False, True]
            second = list(backend.map(["x", "y"], journal=path, ordered=True))
    assert [result.completion.text for result in second] == ["b", "a"]


def test_prompts_that_are_alike_are_answered_each(path):
    """The same prompt twice is two prompts."""
    list(echoing().map(["a", "a", "b", "a"], journal=path))
    mock = echoing()
    assert len(list(mock.map(["a", "a", "b", "a"], journal=path))) == 4
    assert mock.requests == []
    assert len(lines_of(path)) == 4


# --- refused, and left as it is ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompts", "fields", "said"),
    [
        (["q", *PROMPTS[1:]], {}, "another prompt 0"),
        ([*PROMPTS[:5], "q", *PROMPTS[6:]], {}, "another prompt 5"),
        (PROMPTS[1:], {}, "another prompt 0"),
        (PROMPTS[:3], {}, "there are 3"),
        ([], {}, "there are 0"),
        ([[ie.user(prompt)] for prompt in PROMPTS], {}, "another prompt"),
        (PROMPTS, {"max_tokens": 5}, "with other fields"),
        (PROMPTS, {"system": "Be brief."}, "with other fields"),
        ([7, *PROMPTS[1:]], {}, "another prompt 0"),
    ],
)
@pytest.mark.parametrize("ordered", [False, True])
def test_other_prompts_or_fields_are_refused(half, prompts, fields, said, ordered):
    """A journal of others is refused before anything is asked, and not touched."""
    lines = half.read_bytes().splitlines(keepends=True)
    # There is something to ask, too.
    half.write_bytes(b"".join(line for line in lines if b'"index":4,' not in line))
    before = half.read_bytes()
    mock = echoing()
    with pytest.raises(ie.InvalidRequestError, match=said):
        list(mock.map(prompts, journal=half, ordered=ordered, **fields))
    assert (half.read_bytes(), mock.requests) == (before, [])


FOREIGN = {
    "a text": b"Dear diary",
    "a text of lines": b"Dear diary\nit rains\n",
    "prompts": b'{"prompt": "x"}\n',
    "numbers": b"1\n2\n",
    "a list": b"[]\n",
    "an empty line": b"\n",
    "binary": bytes(range(256)),
    "nul": b"\0" * 100,
    "another version": b'{"journal":2,"index":0,"digest":"","attempts":1,"completion":{}}\n',
    "no completion": b'{"journal":1,"index":0,"digest":"","attempts":1}\n',
    "a negative index": b'{"journal":1,"index":-1,"digest":"","attempts":1,"completion":{}}\n',
    "half a line in the middle": b'{"journal":1,"index":0,"dig\n',
    "ours after another": b'x\n{"journal":1,"index":0,"digest":"","attempts":1,"completion":{}}\n',
    "torn, of others": b'{"journal":1,"index":0,"digest":"","attempts":1,"completion":{}}\n{"jou?',
}


@pytest.mark.parametrize("content", FOREIGN)
def test_what_is_no_journal_is_refused(path, content):
    """A file of something else is refused by the call itself, and left as it is."""
    path.write_bytes(FOREIGN[content])
    with pytest.raises(ie.InvalidRequestError, match="is not a journal of a batch"):
        echoing().map(PROMPTS, journal=path)
    assert path.read_bytes() == FOREIGN[content]


def test_an_answer_that_is_there_twice_is_refused(half):
    """Two answers to one prompt were not written by us."""
    first = half.read_bytes().splitlines(keepends=True)[0]
    half.write_bytes(half.read_bytes() + first)
    with pytest.raises(ie.InvalidRequestError, match="a second time in line"):
        echoing().map(PROMPTS, journal=half)


def test_a_completion_that_cannot_be_read_is_refused(path):
    """An answer that somebody has edited into something else is named."""
    list(echoing().map(["p0"], journal=path))
    (line,) = lines_of(path)
    line["completion"] = {"text": 7}
    path.write_text(json.dumps(line, separators=(",", ":")) + "\n", "utf-8")
    with pytest.raises(ie.InvalidRequestError, match="prompt 0 that cannot be read"):
        list(echoing().map(["p0"], journal=path))


@pytest.mark.parametrize("cut", [1, 2, 10, 40, 100, -1])
def test_a_torn_last_line_is_cut_off(half, cut):
    """What a death in the middle of a write has left is cut off, and asked again."""
    lines = half.read_bytes().splitlines(keepends=True)
    half.write_bytes(b"".join(lines[:-1]) + lines[-1][:cut])
    torn = json.loads(lines[-1])["index"]
    mock = echoing()
    assert len(list(mock.map(PROMPTS, journal=half))) == 20
    assert f"p{torn}" in [request.messages[-1].content[0].text for request in mock.requests]
    assert sorted(line["index"] for line in lines_of(half)) == list(range(20))


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"journal":1,"in', b'{"journal":1,"index":0,"dig']
)
def test_a_first_line_may_be_torn(path, content):
    """Nothing whole was written yet: the journal begins anew."""
    path.write_bytes(content)
    assert len(list(echoing().map(PROMPTS, journal=path))) == 20
    assert len(lines_of(path)) == 20


# --- one writer ----------------------------------------------------------------------------------


def test_a_journal_has_one_writer(path):
    """A second batch with the journal is refused, until the first is over."""
    with echoing().map(PROMPTS, journal=path, concurrency=1) as results:
        next(results)
        before = path.read_bytes()
        with pytest.raises(ie.InvalidRequestError, match="being written by another batch"):
            echoing().map(PROMPTS, journal=path)
        assert path.read_bytes().startswith(before)
    assert len(list(echoing().map(PROMPTS, journal=path))) == 20


def test_two_processes_with_one_journal(path, tmp_path):
    """Another process is refused, too; when the first is killed, the kernel lets go of the lock."""
    program = """
        import sys
        import inferd_engine as ie

        results = ie.Mock("a").map(["x"] * 20, journal=sys.argv[1], concurrency=1)
        next(results)
        print("here", flush=True)
        sys.stdin.read()
    """
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    holder = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=clean,
        cwd=tmp_path,
    )
    with holder:
        assert holder.stdout.readline().strip() == b"here"
        with pytest.raises(ie.InvalidRequestError, match="being written by another batch"):
            ie.Mock("a").map(["x"] * 20, journal=path)
        holder.kill()
    assert len(list(ie.Mock("a").map(["x"] * 20, journal=path))) == 20


def test_a_disk_that_knows_no_locks(path, monkeypatch):
    """Where the kernel cannot say that there is one writer, there is none."""

    def try_lock(_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(journals, "try_lock", try_lock)
    with pytest.raises(
        ie.InvalidRequestError, match=r"cannot be locked \(.*\): name a file on a local disk"
    ):
        echoing().map(PROMPTS, journal=path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_holds_no_lock(path):
    """A child that outlives the batch does not keep its journal."""
    reader, writer = os.pipe()
    with echoing().map(PROMPTS, journal=path, concurrency=1) as results:
        next(results)
        child = os.fork()
        if child == 0:
            os.close(writer)
            os.read(reader, 1)
            os._exit(0)
    assert len(list(echoing().map(PROMPTS, journal=path))) == 20
    os.close(writer)
    os.close(reader)
    os.waitpid(child, 0)


def test_a_batch_that_is_over_lets_go(path):
    """After the last result, and after an error, the file can be deleted or gone on with."""
    for _ in range(3):
        list(echoing().map(PROMPTS, journal=path))
    with pytest.raises(ie.InvalidRequestError):
        list(echoing().map(["other"], journal=path))
    list(echoing().map(PROMPTS, journal=path))
    path.unlink()


# --- what the disk says --------------------------------------------------------------------------


def full_after(count, real, whole=False):
    """Make a write() of a disk that is full after so many lines, and takes half of the next."""
    written = []

    def write(descriptor, data):
        if len(written) >= count:
            if not whole and len(written) == count:
                written.append(b"")
                return real(descriptor, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(data)
        return real(descriptor, data)

    return write


def test_a_full_disk_ends_the_batch(path, monkeypatch):
    """What cannot be written is not given: an error says so, and the file is as it was."""
    given = []
    with monkeypatch.context() as patch:
        patch.setattr(journals.os, "write", full_after(5, os.write))
        with pytest.raises(ie.InternalError, match="make room, and the same call goes on") as told:
            for result in echoing().map(PROMPTS, journal=path, concurrency=2):
                given += [result.index]
    assert isinstance(told.value.__cause__, OSError)
    assert not told.value.retryable
    assert given == [line["index"] for line in lines_of(path)]
    assert len(given) == 5
    assert len(list(echoing().map(PROMPTS, journal=path))) == 20


def test_a_sync_that_fails_ends_the_batch(path, monkeypatch):
    """What the disk does not take is not given, either."""

    def fsync(_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(journals.os, "fsync", fsync)
    with pytest.raises(ie.InternalError, match="cannot be written"):
        next(echoing().map(PROMPTS, journal=path))


@pytest.mark.skipif(WINDOWS, reason="POSIX has limits")
def test_a_limit_of_the_system(path, tmp_path):
    """A real refusal of the kernel's: a limit on the size of files."""
    program = """
        import resource, signal, sys
        import inferd_engine as ie

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        given = 0
        try:
            for result in ie.Mock("a").map(["x"] * 50, journal=sys.argv[1], concurrency=2):
                given += 1
        except ie.InternalError as error:
            print(given, "File too large" in str(error))
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=tmp_path,
    )
    assert ran.stdout.split() == [str(len(lines_of(path))), "True"], ran.stderr
    assert path.stat().st_size <= 1000


@pytest.mark.skipif(WINDOWS or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="as root")
def test_a_file_that_may_not_be_written(path):
    """No permission is told before anything is asked."""
    path.write_bytes(b"")
    path.chmod(stat.S_IRUSR)
    with pytest.raises(ie.InvalidRequestError, match="cannot be opened"):
        echoing().map(PROMPTS, journal=path)


@pytest.mark.skipif(WINDOWS, reason="POSIX has such files")
def test_what_is_no_file_is_refused(tmp_path):
    """A pipe or a device keeps nothing."""
    os.mkfifo(tmp_path / "pipe")
    for name in (tmp_path / "pipe", "/dev/null"):
        with pytest.raises(ie.InvalidRequestError, match="is not a file"):
            echoing().map(PROMPTS, journal=name)


# --- exactly -------------------------------------------------------------------------------------

EVENTS = {
    "thoughts and calls": [
        ie.ThinkingDelta("hm"),
        ie.TextDelta("text"),
        ie.ToolUse("c1", "f", {"a": [1, 2.5, None, True, 10**30]}, {"signature": "s"}),
        ie.Done(ie.StopReason.TOOL_USE, ie.Usage(1, 2, {"cached": {"tokens": 3}}), "tool_calls"),
    ],
    "signed blocks": [
        ie.TextDelta("a"),
        ie.Done(
            ie.StopReason.END_TURN,
            None,
            "stop",
            (ie.ThinkingBlock("t", {"signature": "x"}), ie.TextBlock("a")),
        ),
    ],
    "every character": [ie.TextDelta('\u2028\u2029\x85\0\n\r"\\ é 漢 😀'), ie.Done("end_turn")],
    "half a character": [ie.TextDelta("\ud83d"), ie.Done(ie.StopReason.END_TURN)],
    "no numbers": [
        ie.ToolUse("c", "f", {"a": math.inf}),
        ie.Done(ie.StopReason.TOOL_USE),
    ],
    "nothing": [ie.Done(ie.StopReason.CONTENT_FILTER)],
}


@pytest.mark.parametrize("name", EVENTS)
def test_an_answer_comes_back_exactly(path, name):
    """From JSON comes what went there."""
    (first,) = ie.Mock(events=EVENTS[name]).map(["x"], journal=path)
    mock = ie.Mock("not asked")
    (again,) = mock.map(["x"], journal=path)
    assert mock.requests == []
    assert again == first
    assert again.completion.stats == first.completion.stats
    assert path.read_bytes().count(b"\n") == 1


USAGE = {"input_tokens": 1, "output_tokens": 2, "details": {"a": [1, 10**30, 2.5]}}
STATS = {"ttft": 0.1, "duration": 2.0, "events": 3, "bytes": 4}
DONE = {"stop_reason": "end_turn", "usage": USAGE, "finish_reason": "stop"}
ANSWERS = {
    "plain": {"text": "a", "done": DONE, "stats": STATS},
    "all": {"text": "a", "thinking": "t", "model": "m", "request_id": "r", "done": DONE},
    "the least": {"text": "", "done": {"stop_reason": "max_tokens"}},
    "half a usage": {"text": "a", "done": {**DONE, "usage": {**USAGE, "output_tokens": None}}},
    "skipped": {"text": "a", "done": DONE, "stats": {**STATS, "skipped": 1}},
    "whole numbers": {"text": "a", "done": DONE, "stats": {**STATS, "duration": 2, "ttft": None}},
    "a fraction of a token": {
        "text": "a",
        "done": {**DONE, "usage": {**USAGE, "input_tokens": 1.5}},
    },
    "an id that is a number": {"text": "a", "done": DONE, "request_id": 7},
    "of a later version": {
        "text": "a",
        "done": {**DONE, "x": 1},
        "y": 2,
        "stats": {**STATS, "z": 1},
    },
    "a usage of a later version": {"text": "a", "done": {**DONE, "usage": {**USAGE, "x": 1}}},
    "cut": {"text": "a", "done": None},
    "nothing of the end": {"text": "a"},
    "no such reason": {"text": "a", "done": {**DONE, "stop_reason": "tired"}},
    "no reason": {"text": "a", "done": {"usage": USAGE}},
    "no text": {"done": DONE},
    "a usage without tokens": {"text": "a", "done": {**DONE, "usage": {}}},
    "stats without events": {"text": "a", "done": DONE, "stats": {"ttft": 1.0}},
    "not a number": {"text": "a", "done": DONE, "stats": {**STATS, "duration": math.nan}},
    "a list": [],
    "a number": 7,
}


@pytest.mark.parametrize("name", ANSWERS)
def test_the_short_way_is_the_long_one(path, name):
    """Whatever is in a line, it is read as Completion.from_dict() reads it, or refused."""
    list(ie.Mock("a").map(["x"], journal=path))
    (line,) = lines_of(path)
    line["completion"] = ANSWERS[name]
    path.write_text(json.dumps(line, separators=(",", ":")) + "\n", "utf-8")
    try:
        expected = ie.Completion.from_dict(ANSWERS[name])
    except ie.InvalidRequestError:
        with pytest.raises(ie.InvalidRequestError, match="prompt 0 that cannot be read"):
            list(ie.Mock("b").map(["x"], journal=path))
        return
    (result,) = ie.Mock("b").map(["x"], journal=path)
    given, expected = result.completion.to_dict(), expected.to_dict()
    assert given == expected or repr(given) == repr(expected)  # NaN is not itself


def test_what_is_no_json_ends_the_batch(path):
    """An answer of somebody's own backend that JSON cannot hold is named."""
    call = ie.ToolUse("c", "f", {"a": {1, 2}})
    mock = ie.Mock(events=[call, ie.Done(ie.StopReason.TOOL_USE)])
    with pytest.raises(ie.InternalError, match="prompt 0 cannot be written as JSON"):
        list(mock.map(["x"], journal=path))
    assert path.read_bytes() == b""


def test_no_secret_is_in_it(path):
    """The key, headers, proxies, the body's own fields: the file has none of them."""
    canary = "sk-canary-0123456789"
    with Upstream(otherwise=lambda _: text_reply("a")) as upstream:
        with ie.OpenAiCompat(
            base_url=f"{upstream.url}?key={canary}",
            api_key=canary,
            headers={"x-secret": canary},
            extra_body={"secret": canary},
        ) as backend:
            list(backend.map(["x"] * 3, journal=path, extra_body={"secret": canary}))
    assert canary.encode() not in path.read_bytes()
    assert len(lines_of(path)) == 3


def test_usual_tools_read_it(path):
    """Every line has the same columns."""
    list(echoing().map(PROMPTS, journal=path))
    assert len({tuple(line) for line in lines_of(path)}) == 1


def test_the_consumer_may_stay_away(path):
    """Answers are written as they end, whether or not anybody takes them."""
    asked = threading.Semaphore(0)

    def answer(_):
        asked.release()
        return "a"

    with ie.Mock(answers=[answer]).map(PROMPTS, journal=path, concurrency=4) as results:
        first = next(results)
        for _ in range(8):
            assert asked.acquire(timeout=10)
    assert len(lines_of(path)) >= 2
    assert first.index in [line["index"] for line in lines_of(path)]
