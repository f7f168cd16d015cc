"""The README's words are true: its snippets run, its commands are those that CI runs."""

from __future__ import annotations

import re
from pathlib import Path

from inferd_engine.testing import Pause, Reply, Upstream, chunk, echo

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
ADDRESS = "http://localhost:8080"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def answer(received):
    """Echo, but tell a long story slowly when asked for one."""
    if "long story" in received.json["messages"][-1]["content"]:
        return Reply([step for _ in range(500) for step in (chunk("and then "), Pause(0.05))])
    return echo(received)


def test_snippets_run(capsys):
    """Every Python snippet runs, in order, against a real upstream on loopback."""
    with Upstream(otherwise=answer) as upstream:
        names = {}
        for number, code in enumerate(blocks("python"), 1):
            source = code.replace(ADDRESS, upstream.url)
            exec(compile(source, f"README.md, snippet {number}", "exec"), names)
        names["backend"].close()
    printed = capsys.readouterr().out
    assert "You said: Why is the sky blue?end_turn" in printed
    assert "and then and then" in printed
    assert "closed\n" in printed
    assert "half an ans\n" in printed
    assert printed.endswith("You said: What is this?\n")


def test_set_up_commands_stand_alone():
    """The set-up commands come first, each alone in its block, and CI runs all of them."""
    demo, tests, quick, *_ = blocks("sh")
    assert demo == "python -m pip install . && inferd-engine demo\n"
    assert tests == "python -m pip install tox && python -m tox\n"
    assert quick.startswith('python -m pip install -e ".[tests]" && pytest ')
    gate = (ROOT / ".ci" / "run").read_text("utf-8")
    for command in (demo, tests, quick):
        assert command in gate


def test_the_quick_round_is_named_alike():
    """README, CONTRIBUTING and tox name one quick round, and one number of minutes."""
    contributing = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    toxfile = (ROOT / "toxfile.py").read_text("utf-8")
    quick = blocks("sh")[2]
    assert quick in contributing
    assert quick.partition("&& ")[2] in toxfile
    texts = (README, contributing, toxfile)
    assert len({re.search(r"about (\d+)\s+minutes", text)[1] for text in texts}) == 1


def test_snippets_of_every_page_run():
    """Each page of docs/ that shows Python is run by a test, which names it."""
    tests = "".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    for page in (ROOT / "docs").rglob("*.md"):
        if "```python" in page.read_text("utf-8"):
            assert page.name in tests, f"no test names {page.name}"


def test_eight_lines():
    """The first snippet is as short as it says."""
    lines = [line for line in blocks("python")[0].splitlines() if line]
    assert len(lines) <= 8


def test_architecture_names_every_file():
    """ARCHITECTURE.md tells of every module, and of none that is not there."""
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    package = ROOT / "inferd_engine"
    modules = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if path.name != "__init__.py" or path.parent == package
    }
    named = set(re.findall(r"`(?:inferd_engine/)?((?:\w+/)*\w+\.py)`", text))
    assert modules - named == set()
    assert {
        name for name in named if not (package / name).exists() and not (ROOT / name).exists()
    } == set()


def test_architecture_names_real_functions():
    """Each `file.py:function` in ARCHITECTURE.md is there."""
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    places = re.findall(r"`([\w/]+\.(?:py|c)):([\w.]+)`", text)
    assert len(places) > 10
    for file, name in places:
        path = next(p for p in (ROOT / "inferd_engine" / file, ROOT / file) if p.exists())
        source = path.read_text("utf-8")
        for part in name.split("."):
            assert re.search(rf"\b(def|class) {part}\b|\b{part}\(", source), f"{file}:{name}"
