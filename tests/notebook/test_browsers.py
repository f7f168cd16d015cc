"""What people see of a saved notebook: in JupyterLab, and as the page that nbconvert makes."""

from __future__ import annotations

import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time

import nbformat
import pytest

import inferd_engine as ie
from inferd_engine.notebook.page import Look

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
TOKEN = "t"

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
    pytest.mark.timeout(180),
]

# Each way to load or run something asks for a path of its own.
ATTACKS = r"""
<script>fetch("@/script")</script>

<img src=x onerror='fetch("@/handler")'>

![](@/image) [![](@/linked)](https://x.example) ![a][r]

[r]: @/reference

`<img src=@/code>` \`<img src=@/escaped-code>\` `` ` `` <img src=@/after-code> `

```
code
```<img src=@/fence>
```

- ```
  <img src=@/list>
  ```
<img src=@/after-list>

$$

```
$$ <img src=@/formula>
```

$x$ [hover](https://x.example/$"onmouseover="fetch('@/attribute')$)

<iframe src="@/frame"></iframe><style>@import "@/style";</style><div style="background:url(@/css)">

```mermaid
flowchart LR
    A@{ img: "@/mermaid", label: "x", w: 60, h: 60 }
```

<details><summary>x</summary>

<video src="@/video" autoplay></video></details>

It costs $5 to $10. The end.
"""


@pytest.fixture
def asked():
    """Give the address of a server, and the paths that it is asked for."""
    paths = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            paths.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", paths
    server.shutdown()
    thread.join()
    server.server_close()


def notebook_of(address, look):
    """Give a notebook in which an answer of that kind was shown."""
    answer = ie.Completion(
        ATTACKS.replace("@/", f"{address}/"),
        thinking=f"<img src={address}/thought>",
        tool_uses=(ie.ToolUse("1", "save", {"text": f"<img src={address}/call>"}),),
    )
    bundle = look.bundle(answer, f"<img src={address}/error>")
    output = nbformat.v4.new_output("display_data", dict(bundle))
    cell = nbformat.v4.new_code_cell("backend.display('x')", outputs=[output], execution_count=1)
    return nbformat.v4.new_notebook(cells=[cell])


def page(url, folder, seconds):
    """Give the page as it is after so many seconds of its own time; nothing leaves the machine."""
    ran = subprocess.run(
        [
            *(CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom"),
            *(f"--virtual-time-budget={seconds}000", f"--user-data-dir={folder / 'chromium'}"),
            *("--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1", url),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        timeout=120,
        check=True,
    )
    return ran.stdout


def converted(notebook, folder):
    """Give the page that nbconvert makes of a notebook, as a browser shows it."""
    from nbconvert import HTMLExporter

    made, _ = HTMLExporter().from_notebook_node(notebook)
    path = folder / "page.html"
    path.write_text(made, "utf-8")
    return page(path.as_uri(), folder, seconds=5)


def handlers(shown):
    """Give the elements with a handler, which is a program."""
    return re.findall(r"<[^<>]*\son[a-z]+=[^<>]*>", shown)


LOOKS = [Look(), Look(thinking="open"), Look(plain=True)]


@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_nbconvert_shows_text(asked, tmp_path, look):
    """As a page that was made of the notebook, an answer loads and runs nothing."""
    address, paths = asked
    assert "The end." in converted(notebook_of(address, look), tmp_path)
    assert paths == []


def test_nbconvert_shows_what_is_trusted(asked, tmp_path):
    """The attacks are real: what is trusted asks the server."""
    address, paths = asked
    converted(notebook_of(address, Look(trust=True)), tmp_path)
    assert {"/script", "/handler", "/image", "/linked", "/reference"} <= set(paths)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Give what shows a notebook in JupyterLab, which trusts it as if it had been run there."""
    home = tmp_path_factory.mktemp("lab")
    folders = {f"JUPYTER_{name}_DIR": str(home / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    environment = {**os.environ, **folders, "JUPYTER_PLATFORM_DIRS": "1"}
    arguments = ("--no-browser", "--allow-root", "--port=0", f"--IdentityProvider.token={TOKEN}")
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *arguments, f"--ServerApp.root_dir={home}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    deadline = time.monotonic() + 60.0
    while not (found := list((home / "RUNTIME").glob("jpserver-*.json"))):
        assert server.poll() is None
        assert time.monotonic() < deadline
        threading.Event().wait(0.05)
    url = json.loads(found[0].read_text())["url"].replace("localhost", "127.0.0.1")

    def show(notebook, folder):
        nbformat.write(notebook, home / "shown.ipynb")
        sign = [sys.executable, "-m", "nbformat.sign", str(home / "shown.ipynb")]
        subprocess.run(sign, check=True, capture_output=True, env=environment)
        return page(f"{url}doc/tree/shown.ipynb?token={TOKEN}", folder, seconds=10)

    yield show
    server.terminate()
    server.wait(30)


def test_jupyterlab_shows_text(asked, lab, tmp_path):
    """In a notebook that JupyterLab trusts, an answer loads and runs nothing; prices are prices."""
    address, paths = asked
    shown = lab(notebook_of(address, Look()), tmp_path)
    assert "mjx-container" in shown  # $x$ is a formula
    assert "It costs <span>$</span>5 to <span>$</span>10. The end." in shown
    assert not [one for one in handlers(shown) if address in one]
    assert paths == []


def test_jupyterlab_shows_what_is_trusted(asked, lab, tmp_path):
    """The attacks are real: what is trusted asks the server, or would at a touch of the mouse."""
    address, paths = asked
    shown = lab(notebook_of(address, Look(trust=True)), tmp_path)
    assert {"/script", "/handler", "/image", "/linked", "/mermaid", "/frame"} <= set(paths)
    assert [one for one in handlers(shown) if f"{address}/attribute" in one]
