"""Start vLLM, which is not ours, on a CPU, with a model whose weights are dice.

``INFERD_ENGINE_VLLM`` names a Python that has it (``install.py`` beside this makes one); without it
these tests are not collected.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from real_servers import missing
from server_process import ServerProcess, show_logs

HERE = Path(__file__).parent
PYTHON = os.environ.get("INFERD_ENGINE_VLLM", "")
if not PYTHON:
    collect_ignore_glob = missing(
        "vllm",
        "INFERD_ENGINE_VLLM names no Python that has it: python tests/vllm/install.py FOLDER makes "
        "one, 6 GB in a few minutes",
    )
elif not shutil.which(PYTHON):
    collect_ignore_glob = missing("vllm", f"INFERD_ENGINE_VLLM={PYTHON} is no program", must=True)


class VLlm(ServerProcess):
    """The server, with a model that it makes first."""

    start_seconds = 300.0  # of which imports take most
    ready_path = "/health"

    def __init__(self, folder):
        super().__init__(folder / "log")
        self._folder = folder
        # It tells what it runs on by the version of the distribution "vllm"; that of the wheel
        # for CPUs has another name.
        told = folder / "told" / "vllm-0+cpu.dist-info"
        told.mkdir(parents=True)
        (told / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 0+cpu\n")
        self.environment = {
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(told.parent),
            "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
            "VLLM_NO_USAGE_STATS": "1",
        }

    def command(self):
        """Give the program and its arguments."""
        return [PYTHON, HERE / "serve.py", self._folder / "model", str(self.port)]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Show what the servers printed with a test that failed."""
    return show_logs((yield))


@pytest.fixture(scope="session")
def vllm(tmp_path_factory):
    """The server."""
    with VLlm(tmp_path_factory.mktemp("vllm")) as server:
        yield server
