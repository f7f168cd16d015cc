"""The examples run as they say, and are as short as they say."""

from __future__ import annotations

import re
import sys

import pytest
import requests
from server_process import ServerProcess
from web.servers import browser as chromium
from web.servers.conftest import EXAMPLES

from inferd_engine.testing import Upstream

COMMANDS = {
    "flask run": ("flask_app", ["flask", "run", "--port", "{port}"]),
    "gunicorn": ("django_app", ["gunicorn", "-k", "gthread", "-b", "127.0.0.1:{port}", "app"]),
    "uvicorn": ("django_app", ["uvicorn", "--port", "{port}", "app:asgi_application"]),
}

_IN_FOLDER = """
import os, runpy, sys
os.chdir(sys.argv.pop(1))
sys.path.insert(0, "")
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


class Example(ServerProcess):
    """An example, started in its folder."""

    def __init__(self, log, name, upstream):
        super().__init__(log)
        folder, self._words = COMMANDS[name]
        self._folder = EXAMPLES / folder
        self.environment = {
            "OPENAI_BASE_URL": upstream.url,
            "OPENAI_API_KEY": "sk-test",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def command(self):
        """Give the program and its arguments."""
        module, *words = (word.replace("{port}", str(self.port)) for word in self._words)
        return [
            sys.executable,
            "-c",
            _IN_FOLDER,
            str(self._folder),
            module,
            *words,
        ]


@pytest.mark.parametrize("name", COMMANDS)
def test_an_example_answers(name, tmp_path):
    """The page is there, and what it is told streams back; without a browser, by its form."""
    with Upstream() as upstream, Example(tmp_path / "server.log", name, upstream) as server:
        with requests.Session() as session:
            page = session.get(server.url, timeout=20).text
            token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
            form = {"said": "Hi", **({"csrfmiddlewaretoken": token[1]} if token else {})}
            answer = session.post(f"{server.url}/chat", data=form, timeout=20)
            assert answer.headers["Content-Type"].startswith("text/event-stream")
            assert '"You' in answer.text
            assert '"end_turn"' in answer.text
        assert upstream.requests[0].headers["authorization"] == "Bearer sk-test"
        if chromium.program() is None:
            return
        with chromium.Browser(tmp_path / "profile") as browser:
            opened = browser.open(server.url)
            opened.ask("Grüße")
            opened.wait_for("document.getElementById('state').textContent == 'end_turn'")
            assert opened.shown() == ("You said: Grüße", "end_turn")


@pytest.mark.parametrize("folder", sorted({folder for folder, _ in COMMANDS.values()}))
def test_an_example_is_short(folder):
    """An example has fewer than 40 lines, with its page; blank ones are not counted."""
    files = [path for path in (EXAMPLES / folder).iterdir() if path.is_file()]
    lines = [line for path in files for line in path.read_text("utf-8").splitlines() if line]
    assert len(lines) < 40
    assert {path.name for path in files} == {"app.py", "page.html"}
