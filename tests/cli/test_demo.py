"""The demo: what a newcomer sees first."""

from __future__ import annotations

import re
import time

import pytest
from cli.running import run
from wcwidth import wcswidth

from inferd_engine.testing import Upstream

SECONDS = 20.0  # an upper bound, on a loaded machine, of what takes two


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """One run of it, in a folder where no test has put modules of its own."""
    began = time.monotonic()
    ran = run("demo", cwd=tmp_path_factory.mktemp("demo"))
    assert time.monotonic() - began < SECONDS
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


def test_it_streams(demo):
    """An answer streams, in every script, and its figures say what they count."""
    assert "日本語" in demo
    assert "🦀" in demo
    assert re.search(r"a piece every 20 ms: the first came\s+\d+\.\d ms after the\s+request", demo)
    assert re.search(r"counted\s+15\s+tokens", demo)


def test_it_stops(demo):
    """A stream is closed from another thread, and the upstream is told: by when, in ms."""
    assert re.search(r"close\(\) took \d+\.\d ms\.\s+The upstream was told \d+\.\d ms after", demo)


def test_it_keeps_deadlines(demo):
    """A stalled answer runs into its deadline."""
    assert "DeadlineError: " in demo
    assert re.search(r"0\.50 s of silence; the call ended after 0\.[5-9]\d s", demo)


def test_a_cut_answer_is_an_error(demo):
    """A cut answer is an error, and what had come is there."""
    assert "StreamInterruptedError: " in demo
    assert "error.partial" in demo


def test_every_line_fits(demo):
    """Every line fits 80 columns, as a terminal counts them."""
    assert max(map(wcswidth, demo.splitlines())) <= 80
    assert "  \n" not in demo


def test_it_tells_the_decoder(demo):
    """Which decoder is in use is told."""
    assert re.search(r"SSE decoder: (native|pure)", demo)


@pytest.mark.parametrize(
    "env",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"HTTP_PROXY": "http://127.0.0.1:9", "OPENAI_BASE_URL": "http://127.0.0.1:9"},
    ],
    ids=["ascii", "C", "proxy"],
)
def test_anywhere(env):
    """Neither an encoding without most characters nor settings of the machine stop it."""
    ran = run("demo", env=env)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "4. One is cut" in ran.stdout


def test_an_upstream_that_notices_nothing(monkeypatch, capsys):
    """Should the upstream not be told, the demo says so and fails."""
    from inferd_engine import cli
    from inferd_engine.cli import demo

    monkeypatch.setattr(demo, "_PATIENCE", 0.01)
    monkeypatch.setattr(Upstream, "_reply_to", _deaf(Upstream._reply_to))
    assert cli.main(["demo"]) == cli.EXIT_UPSTREAM
    assert "the upstream was not told" in capsys.readouterr().out


def _deaf(reply_to):
    def without_noticing(self, received):
        received.gone.wait = lambda _: False
        return reply_to(self, received)

    return without_noticing
