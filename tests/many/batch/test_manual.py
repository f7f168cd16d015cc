"""docs/batch.md is true: its snippets run, in their order; its numbers are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

from inferd_engine.many.batch import conductor, map as mapping, pace
from inferd_engine.stream import gathering
from inferd_engine.testing import Upstream

MANUAL = (Path(__file__).parents[3] / "docs" / "batch.md").read_text("utf-8")


def test_the_snippets_run(capsys):
    """Every snippet of docs/batch.md runs, and prints answers."""
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", MANUAL, re.MULTILINE | re.DOTALL))
    with Upstream() as upstream:
        names = {}
        source = code.replace("http://localhost:8080", upstream.url)
        exec(compile(source, "docs/batch.md", "exec"), names)
        names["backend"].close()
    printed = capsys.readouterr().out
    assert printed.count("You said: Name a prime above 9.") == 5
    assert "You said: Tell me a story." in printed
    assert "1 attempts: You said" in printed


def test_the_numbers_are_those_of_the_code():
    """What the page says of bounds is what is done."""
    assert (mapping._AHEAD, mapping._AHEAD_IN_ORDER) == (2, 4)
    assert (pace._AUTO_FIRST, pace._AUTO_MOST, pace._CUT) == (4, 256, 0.7)
    assert (gathering._SHARE, gathering._LONGEST) == (1 / 16, 0.1)
    assert conductor._LONGEST_HOLD == 60
