"""The words of docs/testing.md are true: its snippets are tests, and they pass."""

from __future__ import annotations

import re
from pathlib import Path

from inferd_engine import testing
from inferd_engine.testing import Upstream

TEXT = (Path(__file__).parents[2] / "docs" / "testing.md").read_text("utf-8")
ADDRESS = "http://localhost:8080"
SNIPPETS = "\n".join(re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL))


def test_snippets_run(run_tests, tmp_path):
    """All snippets are one file of tests; the second run replays what the first has recorded."""
    with Upstream() as upstream:
        text = SNIPPETS.replace(ADDRESS, upstream.url)
        first = run_tests(text, "-W", "error")
        assert set(first.outcomes) == {"passed", "skipped"}, first.text
        again = run_tests(text, "--inferd-record=replay", "-k", "real_answer")
        assert again.outcomes == {"passed": 1}, again.text
        assert len(upstream.requests) == 1
    assert [*tmp_path.rglob("*.jsonl")]


def test_it_names_what_there_is():
    """Every fixture is told of, and every name but those that are told where they are used."""
    told = set(re.findall(r"\w+", TEXT))
    unsaid = {"Action", "Peer", "Received", "Step", "CassetteError", "echo"}
    assert set(testing.__all__) - told <= unsaid
    assert {"inferd_upstream", "inferd_mock", "inferd_cassette", "inferd_fast_forward"} <= told


def test_the_number_of_quirks():
    """It is the number of rows of the table."""
    assert f"one of {len(testing.quirks())} ways" in TEXT
