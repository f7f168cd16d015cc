"""What is written about notebooks is true: the page's snippets and the example run, in a kernel."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from inferd_engine.testing import Pause, Reply, Stall, chunk, echo

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "notebook.md").read_text("utf-8")
EXAMPLE = ROOT / "examples" / "notebook.ipynb"
ADDRESS = "http://localhost:8080"
SNIPPETS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def answer(received):
    """Echo, but tell a long story slowly, and think where that is asked for."""
    said = received.json["messages"][-1]["content"]
    if "long story" in said:
        return Reply([step for _ in range(500) for step in (chunk("and then "), Pause(0.05))])
    if "prime" in said:
        return Reply(
            [chunk(reasoning_content="13 × 17"), chunk("No."), chunk(finish_reason="stop")]
        )
    return echo(received)


@pytest.fixture
def run(_jupyter, upstream):
    """Give what runs a notebook as a user's would be, with the upstream at its address."""
    upstream._otherwise = answer

    def run(notebook):
        for cell in notebook.cells:
            cell.source = cell.source.replace(ADDRESS, upstream.url)
        NotebookClient(notebook, kernel_name="here", timeout=60).execute()
        return [getattr(cell, "outputs", []) for cell in notebook.cells]

    return run


def notebook_of(*sources):
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(one) for one in sources])


def kinds(outputs):
    return [output["output_type"] for output in outputs]


def shown(outputs):
    return outputs[0]["data"]["text/markdown"]


def test_the_snippets_run(run):
    """Every snippet of the page runs, in order; each shows what the page says of it."""
    first, thinking, failing, many = run(notebook_of(*SNIPPETS))
    assert kinds(first) == kinds(thinking) == ["display_data"]
    assert shown(first).startswith("You said: Why is the sky blue?\n\n*")
    assert shown(thinking).startswith("<details open>")
    assert kinds(failing) == ["display_data", "stream"]
    assert re.fullmatch(r"DeadlineError after \d+ characters\n", failing[1]["text"])
    printed = [(output["name"], output["text"]) for output in many]
    assert ("stdout", "You said: What is 7 in French?\n") in printed
    assert "20/20" in "".join(text for name, text in printed if name == "stderr")


def test_the_example_runs(run):
    """The example runs as it stands, and shows each answer once."""
    notebook = nbformat.read(EXAMPLE, as_version=4)
    ids = [cell.id for cell in notebook.cells]
    outputs = dict(zip(ids, run(notebook), strict=True))
    assert kinds(outputs["backend"]) == []
    assert kinds(outputs["sky"]) == kinds(outputs["night"]) == ["display_data"]
    assert kinds(outputs["again"]) == ["execute_result"]
    assert shown(outputs["again"]) == shown(outputs["sky"])
    assert "13 × 17" in shown(outputs["prime"])
    assert kinds(outputs["story"]) == ["display_data", "stream"]


def test_the_example_has_no_outputs():
    """What is kept is the source: outputs would tell of somebody's machine."""
    notebook = nbformat.read(EXAMPLE, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)


def test_a_notebook_holds_the_last_state(run, upstream):
    """What is saved is what stood there in the end, also of a run that an error has ended."""
    upstream.enqueue(Reply([chunk("half"), Stall()]))
    failing = f"backend = ie.OpenAiCompat({ADDRESS!r}, idle_timeout=0.3)\nbackend.display('x')"
    notebook = notebook_of("import inferd_engine as ie", failing, "print('it was run')")
    with pytest.raises(CellExecutionError, match="DeadlineError"):
        run(notebook)
    _, failed, following = notebook.cells
    assert kinds(failed.outputs) == ["display_data", "error"]
    assert shown(failed.outputs).startswith("half\n\n*first token after")
    assert following.outputs == []


def test_an_interrupt_ends_all_of_many(kernel, upstream):
    """An interrupt while many prompts are asked ends each of them, as the page says."""
    upstream._otherwise = lambda _: Reply([chunk("half"), Stall()])
    kernel.run(SNIPPETS[0].replace(ADDRESS, upstream.url).partition("answer")[0])
    cell = kernel.start(SNIPPETS[-1])
    first = [upstream.wait_for_request(number) for number in range(1, 9)]
    cell.wait(lambda cell: "0/20" in cell.printed)  # all is submitted, and the first is waited for
    kernel.interrupt()
    assert all(received.gone.wait(10) for received in first)
    assert cell.wait().error == "KeyboardInterrupt"
    assert len(upstream.requests) == 8
