"""A program that PyInstaller packed has all of the package, the C part with it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import inferd_engine
from inferd_engine.wire.sse import IMPLEMENTATION

pytestmark = pytest.mark.timeout(300)  # packing takes about 10 s on an idle machine

# PyInstaller looks along the path, where an editable install's package is not.
PATH = Path(inferd_engine.__file__).parents[1]
# What requests and urllib3 use if it is there brings what the C part needs; users may not have it.
GUESTS = ("OpenSSL", "cryptography", "gevent")
PROGRAM = """
import inferd_engine as ie
from inferd_engine.testing import Reply, Upstream, chunk
from inferd_engine.wire.sse import IMPLEMENTATION

for name in ie.__all__:
    getattr(ie, name)
whole = Reply([chunk("still "), chunk("whole"), chunk(finish="stop"), b"data: [DONE]\\n\\n"])
with Upstream(whole) as upstream:
    with ie.OpenAiCompat(base_url=upstream.url, api_key="").stream("Hi") as stream:
        print(IMPLEMENTATION, *stream.text())
"""


@pytest.mark.parametrize("shape", ["--onedir", "--onefile"])
def test_a_packed_program_streams(tmp_path, shape):
    """A packed program has every public name and the C part if there is one; it ends silently."""
    program = tmp_path / "tiny.py"
    program.write_text(PROGRAM, "utf-8")
    subprocess.run(
        [
            *(sys.executable, "-m", "PyInstaller", "--log-level", "WARN", shape),
            *("--distpath", "packed", "--workpath", "work", "--specpath", "work"),
            *("--paths", PATH, *(f"--exclude-module={name}" for name in GUESTS), program),
        ],
        env={**os.environ, "PYINSTALLER_CONFIG_DIR": str(tmp_path / "cache")},
        cwd=tmp_path,
        check=True,
    )
    packed = tmp_path / "packed" / ("tiny/tiny" if shape == "--onedir" else "tiny")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "INFERD_"))}
    ran = subprocess.run([packed], env=clean, capture_output=True, text=True, check=False)
    assert (ran.stdout.split(), ran.stderr) == ([IMPLEMENTATION, "still", "whole"], "")
