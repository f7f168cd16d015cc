"""docs/llamacpp.md: its snippets run, as one program, over a model of the tests."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from llamacpp.models import write_projector

PAGE = Path(__file__).parents[2] / "docs" / "llamacpp.md"


def test_the_snippets_run(tiny, tmp_path, capsys):
    """In their order, in a folder with the model that they name."""
    shutil.copy(tiny, tmp_path / "qwen3-8b.gguf")
    write_projector(tmp_path / "mmproj.gguf")
    program = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL))
    names = {}
    exec(compile(program, str(PAGE), "exec"), names)
    names["backend"].stop()
    said = capsys.readouterr().out.splitlines()
    assert any(line.startswith("weather ") for line in said)
    assert {"yes", "no"} & {*said}
    assert said[-1] == "32"
