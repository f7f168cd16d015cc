"""Let mypy and pyright look at programs: what is right passes, what is wrong is found.

    python tests/typing/check.py

The snippets of a page are one program, in their order: README, ARCHITECTURE, each page of docs/.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FENCE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def lines_by_mypy(path: Path) -> dict[int, str]:
    """Give what mypy has to say, by line."""
    command = [sys.executable, "-m", "mypy", "--strict", "--output=json", str(path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode in (0, 1), ran.stdout + ran.stderr
    said = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    return {one["line"]: one["message"] for one in said if one["severity"] == "error"}


def lines_by_pyright(path: Path) -> dict[int, str]:
    """Give what pyright has to say, by line."""
    command = [sys.executable, "-m", "pyright", "--outputjson", str(path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode in (0, 1), ran.stdout + ran.stderr
    said = json.loads(ran.stdout)["generalDiagnostics"]
    return {one["range"]["start"]["line"] + 1: one["message"] for one in said}


def snippets(page: Path) -> str:
    """Give the snippets of a page as one program; empty if it has none."""
    return "\n".join(FENCE.findall(page.read_text("utf-8")))


def main() -> int:
    """Check all; give how many things are not as they should be."""
    mistakes = HERE / "mistakes.py"
    lines = mistakes.read_text("utf-8").splitlines()
    wrong = {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}
    assert len(wrong) > 15
    count = 0
    with tempfile.TemporaryDirectory() as folder:
        right = [HERE / "api.py"]
        for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")):
            if program := snippets(page):
                right.append(Path(folder) / f"{page.stem.lower()}.py")
                right[-1].write_text(program, encoding="utf-8")
        assert len(right) > 2
        for name, check in (("mypy", lines_by_mypy), ("pyright", lines_by_pyright)):
            for path, expected in (*((path, set[int]()) for path in right), (mistakes, wrong)):
                found = check(path)
                for line in sorted(wrong - set(found)) if expected else ():
                    print(f"{name} does not find {path.name}:{line}: {lines[line - 1]}")
                    count += 1
                for line in sorted(set(found) - expected):
                    print(f"{name} finds {path.name}:{line}: {found[line]}")
                    count += 1
                print(f"{name}: {path.name}: {len(found)} found, {len(expected)} expected")
    return count


if __name__ == "__main__":
    sys.exit(main())
