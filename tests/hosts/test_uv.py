"""uv builds and installs the package as pip does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inferd_engine.wire.sse import IMPLEMENTATION

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(180)


def test_uv_installs_a_checkout(tmp_path):
    """What uv installs is the package, with the C part where there is a compiler."""
    target = tmp_path / "installed"
    subprocess.run(
        [
            *(sys.executable, "-m", "uv", "pip", "install", "--offline", "--no-deps"),
            *("--no-cache", "--no-build-isolation", "--python", sys.executable),
            *("--target", target, ROOT),
        ],
        check=True,
    )
    program = "import inferd_engine.wire.sse as sse; print(sse.IMPLEMENTATION, sse.__file__)"
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        check=True,
    )
    implementation, file = ran.stdout.split()
    assert implementation == IMPLEMENTATION
    assert Path(file).is_relative_to(target)
