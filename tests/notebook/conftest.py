"""A real kernel for the tests, and what it says.

Tests whose tools are not there are not collected; with ``INFERD_ENGINE_NOTEBOOK=1`` that is an
error.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time

import pytest

from inferd_engine.testing import Upstream

NEEDS = {
    "test_browsers.py": ("jupyterlab", "nbconvert"),
    "test_documents.py": ("ipykernel", "nbclient", "tqdm"),
    "test_kernel.py": ("ipykernel",),
}

missing = {
    file: [tool for tool in tools if importlib.util.find_spec(tool) is None]
    for file, tools in NEEDS.items()
}
collect_ignore = [file for file, tools in missing.items() if tools]
if collect_ignore and os.environ.get("INFERD_ENGINE_NOTEBOOK") == "1":
    raise ModuleNotFoundError(
        f"INFERD_ENGINE_NOTEBOOK=1, but these modules are not there: {missing}"
    )

SOON = 30.0  # seconds: an upper bound, on a loaded machine, of what takes milliseconds
SPEC = {
    "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
    "display_name": "this interpreter",
    "language": "python",
}


@pytest.fixture(scope="session")
def _jupyter(tmp_path_factory):
    """Give Jupyter folders of its own, with one kernel: the interpreter that runs the tests."""
    folder = tmp_path_factory.mktemp("jupyter")
    spec = folder / "data" / "kernels" / "here" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(json.dumps(SPEC), "utf-8")
    settings = {
        "JUPYTER_PATH": str(folder / "data"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "IPYTHONDIR": str(folder / "ipython"),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        yield


class Cell:
    """One execution of some code: what came of it so far."""

    def __init__(self, client, code, *, stop_on_error):
        self._client = client
        self._id = client.execute(code, stop_on_error=stop_on_error)
        self.outputs = []  # as a notebook is saved: what is shown again is shown in its place
        self.drawn = []  # (time, data) of all that was drawn
        self.is_over = False
        self._places = {}

    def wait(self, until=None):
        """Take in what the kernel says, until the cell is over or something is so."""
        deadline = time.monotonic() + SOON
        while not self.is_over and not (until and until(self)):
            message = self._client.get_iopub_msg(timeout=max(0.01, deadline - time.monotonic()))
            if message["parent_header"].get("msg_id") == self._id:
                self._take(message)
        return self

    def _take(self, message):
        kind, content = message["msg_type"], message["content"]
        if kind == "status":
            self.is_over = content["execution_state"] == "idle"
        elif kind in ("display_data", "update_display_data"):
            self.drawn.append((message["header"]["date"].timestamp(), content["data"]))
            place = content["transient"].get("display_id")
            if kind == "display_data":
                self._places[place] = len(self.outputs)
                self.outputs.append((kind, content["data"]))
            else:
                self.outputs[self._places[place]] = ("display_data", content["data"])
        elif kind in ("execute_result", "stream", "error"):
            self.outputs.append((kind, content.get("data", content)))

    @property
    def kinds(self):
        return [kind for kind, _ in self.outputs]

    @property
    def shown(self):
        """The Markdown on the page, or the text where there is none."""
        pages = [data for kind, data in self.outputs if kind in ("display_data", "execute_result")]
        return "\n\n".join(page.get("text/markdown", page["text/plain"]) for page in pages)

    @property
    def printed(self):
        return "".join(said["text"] for kind, said in self.outputs if kind == "stream")

    @property
    def error(self):
        """The name of the class of what the cell raised."""
        return next((said["ename"] for kind, said in self.outputs if kind == "error"), None)


class Kernel:
    """A running kernel."""

    def __init__(self, manager, client):
        self._manager = manager
        self._client = client
        self.last = None

    def start(self, code, *, stop_on_error=False):
        """Run a cell; if it fails, those that wait for their turn may be dropped."""
        self.last = Cell(self._client, code, stop_on_error=stop_on_error)
        return self.last

    def run(self, code):
        return self.start(code).wait()

    def interrupt(self):
        """Do what a front end's stop button does."""
        self._manager.interrupt_kernel()


@pytest.fixture(scope="session")
def _kernel(_jupyter, tmp_path_factory):
    from jupyter_client.manager import start_new_kernel

    # Not in the checkout, whose package would come before the one installed.
    elsewhere = str(tmp_path_factory.mktemp("elsewhere"))
    manager, client = start_new_kernel(startup_timeout=SOON, kernel_name="here", cwd=elsewhere)
    kernel = Kernel(manager, client)
    setup = kernel.run("import inferd_engine as ie")
    assert not setup.outputs, setup.outputs
    yield kernel
    client.stop_channels()
    manager.shutdown_kernel(now=True)


@pytest.fixture
def kernel(_kernel):
    """Give the kernel, which is free: what a test that failed has left running is interrupted."""
    yield _kernel
    if not _kernel.last.is_over:
        _kernel.interrupt()
        _kernel.last.wait()


@pytest.fixture
def upstream():
    with Upstream() as upstream:
        yield upstream


@pytest.fixture
def ask(kernel, upstream):
    """Give what runs code in the kernel, with a backend there that asks the upstream."""
    kernel.run(f"backend = ie.OpenAiCompat({upstream.url!r}, api_key='')")

    def start(code, *replies, **how):
        upstream.enqueue(*replies)
        return kernel.start(code, **how)

    return start
