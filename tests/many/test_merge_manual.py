"""docs/many.md is true: its snippets run, in their order, against a real upstream."""

from __future__ import annotations

import re
from pathlib import Path

from inferd_engine.testing import Upstream

PAGE = (Path(__file__).parents[2] / "docs" / "many.md").read_text("utf-8")
SNIPPETS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_snippets_run(capsys):
    """Every snippet runs and prints what it is to."""
    with Upstream() as upstream:
        names = {}
        for number, code in enumerate(SNIPPETS, 1):
            source = code.replace("http://localhost:8080", upstream.url)
            exec(compile(source, f"docs/many.md, snippet {number}", "exec"), names)
        names["backend"].close()
    *texts, last = capsys.readouterr().out.splitlines()
    assert {text.partition(": ")[2] for text in texts} == {*names["questions"]}
    assert last == "the first has ended"
