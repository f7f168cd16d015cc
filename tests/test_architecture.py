"""ARCHITECTURE.md shows a backend: it runs, is as short as it says, and keeps the promises."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import inferd_engine as ie

PAGE = (Path(__file__).parents[1] / "ARCHITECTURE.md").read_text("utf-8")
SNIPPETS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def shown():
    """The names that the page's snippets make, in their order."""
    names = {"__name__": "shown"}
    for number, code in enumerate(SNIPPETS, 1):
        exec(compile(code, f"ARCHITECTURE.md, snippet {number}", "exec"), names)
    return names


def test_the_backend_answers(shown):
    """It answers, refuses before the first token, and stops."""
    with shown["Shout"]() as backend:
        assert backend.complete("who is there").text == "WHO! IS! THERE! "
        with backend.stream("who is there") as stream:
            assert stream.poll(5.0) == ie.TextDelta("WHO! ")
        assert stream.cancelled
        message = ie.MessageV2(ie.Role.USER, [ie.ToolResultBlock("c", "1")])
        with pytest.raises(ie.InvalidRequestError, match="say something"):
            backend.complete([message])
    with pytest.raises(ie.NotReadyError):
        backend.stream("x")


def test_it_is_short():
    """Thirty lines are enough."""
    assert len([line for line in SNIPPETS[0].splitlines() if line]) <= 30


def test_the_source_is_woken(shown):
    """What somebody puts into the queue is given; a stream that waits for it can be closed."""
    source = shown["FromQueue"]()
    with ie.Mock().open_stream(source) as stream:
        source.events.put(ie.TextDelta("a"))
        assert next(stream) == ie.TextDelta("a")
        assert stream.poll(0.05) is None
    assert list(stream) == []
    stream.wait_released(5.0)
