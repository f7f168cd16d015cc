"""How far a batch is, on stderr: tqdm's bar where it is installed, else one plain line."""

from __future__ import annotations

import io
import re
import sys
import types

import pytest

import inferd_engine as ie
from inferd_engine.many.batch import progress

USAGE = ie.Usage(3, 5)
ANSWER = [ie.TextDelta("a"), ie.Done(ie.StopReason.END_TURN, USAGE)]


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def plain(monkeypatch):
    """Be without tqdm."""
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)


def stderr(monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


@pytest.mark.usefixtures("plain")
def test_a_line_in_a_file(monkeypatch):
    """Where nobody looks, the beginning and the end are lines: counts, rate, tokens in and out."""
    told = stderr(monkeypatch, io.StringIO())
    assert len(list(ie.Mock(events=ANSWER).map(["x"] * 9, progress=True))) == 9
    first, *_, last = told.getvalue().splitlines()
    assert re.fullmatch(r"\d/9 answered, \d+ tokens/s, \d+ tokens in, \d+ out", first)
    assert re.fullmatch(r"9/9 answered, \d+ tokens/s, 27 tokens in, 45 out", last)
    assert "\r" not in told.getvalue()


@pytest.mark.usefixtures("plain")
def test_a_line_on_a_terminal(monkeypatch):
    """On a terminal one line is written over, and left at the end."""
    told = stderr(monkeypatch, Terminal())
    list(ie.Mock(events=ANSWER).map((p for p in "xyz"), progress=True))
    assert told.getvalue().startswith("\r")
    assert told.getvalue().count("\n") == 1
    assert told.getvalue().rstrip().rpartition("\r")[2].startswith("3 answered, ")


@pytest.mark.usefixtures("plain")
def test_failures_are_counted(monkeypatch):
    """What failed is told apart."""
    told = stderr(monkeypatch, io.StringIO())
    list(ie.Mock(answers=[ie.UpstreamError("no")]).map(["x"] * 3, progress=True))
    assert told.getvalue().splitlines()[-1].startswith("3/3 answered, 3 failed, ")


@pytest.mark.usefixtures("plain")
def test_an_upstream_that_counts_no_tokens(monkeypatch):
    """Where no answer says what it cost, the line does not say that it was nothing."""
    told = stderr(monkeypatch, io.StringIO())
    silent = [ie.TextDelta("a"), ie.Done(ie.StopReason.END_TURN)]
    list(ie.Mock(events=silent).map(["x"] * 9, progress=True))
    last = told.getvalue().splitlines()[-1]
    assert last == "9/9 answered, tokens unknown"


@pytest.mark.usefixtures("plain")
def test_what_the_journal_held_is_no_speed(monkeypatch, tmp_path):
    """What comes from the journal counts as done, and its tokens were not generated now."""
    list(ie.Mock(events=ANSWER).map(["x"] * 9, journal=tmp_path / "j"))
    told = stderr(monkeypatch, io.StringIO())
    list(ie.Mock("a").map(["x"] * 9, journal=tmp_path / "j", progress=True))
    last = told.getvalue().splitlines()[-1]
    assert last == "9/9 answered, 0 tokens/s, 27 tokens in, 45 out"


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("stream", [None, io.StringIO()])
def test_no_stderr(monkeypatch, stream):
    """Where there is none, or a closed one, the batch goes on."""
    if stream is not None:
        stream.close()
    stderr(monkeypatch, stream)
    assert len(list(ie.Mock("a").map(["x"] * 3, progress=True))) == 3


@pytest.mark.usefixtures("plain")
def test_nothing_is_shown_unless_it_is_asked_for(capsys):
    """progress=False says nothing."""
    list(ie.Mock("a").map(["x"] * 3))
    assert capsys.readouterr() == ("", "")


def test_the_bar_of_tqdm(monkeypatch):
    """Where tqdm is, its bar is told of each answer, and closed."""
    calls = []

    class Bar:
        def __init__(self, **options):
            calls.append(options)

        def set_postfix_str(self, text, *, refresh):
            assert not refresh
            calls.append(text)

        def update(self, count):
            calls.append(count)

        def close(self):
            calls.append("closed")

    module = types.ModuleType("tqdm.auto")
    module.tqdm = Bar
    monkeypatch.setitem(sys.modules, "tqdm.auto", module)
    for _ in ie.Mock(events=ANSWER).map(["x"] * 3, progress=True):
        pass
    assert calls[0] == {"total": 3, "unit": " answers"}
    assert calls.count(1) == 3
    assert calls[-1] == "closed"
    assert str(calls[-3]).endswith("tokens/s, 9 tokens in, 15 out")


def test_a_line_is_not_written_all_the_time(monkeypatch):
    """On a terminal it changes ten times a second, elsewhere every ten seconds."""
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    for stream, every in ((Terminal(), 0.1), (io.StringIO(), 10.0)):
        told = stderr(monkeypatch, stream)
        line = progress.Line(None)
        for _ in range(5):
            clock[0] += every / 4
            line.show()
        assert told.getvalue().count("answered") == 2
