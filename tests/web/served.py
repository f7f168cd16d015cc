"""``inferd-engine serve`` in a process of its own, on either server."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

from web.conftest import SOON

HERE = Path(__file__).parent
# Runs the command with what the tests change: the server, and how long it waits.
PROGRAM = """
import sys
from pathlib import Path
from inferd_engine.cli import main
which, seconds, *words = sys.argv[1:]
if which == "standard library":
    sys.modules["waitress"] = None
    import importlib.util as util
    found = util.find_spec
    util.find_spec = lambda name, *rest: None if name == "waitress" else found(name, *rest)
    import inferd_engine.cli.threading_server as server
    server.WRITE_SECONDS = float(seconds)
else:
    import inferd_engine.cli.waitress_server as server
server.REQUEST_SECONDS = float(seconds)
import inferd_engine.web.openai_app as app
app._PATIENCE = float(seconds)
app.OpenAIApp.__init__.__kwdefaults__["heartbeat"] = 0.25
if words[:1] == ["--vectors"]:
    import inferd_engine as ie
    import inferd_engine.cli.serve as serve

    class Vectors(ie.OpenAiCompat):
        def embed(self, request, *, cancel=None):
            return ie.EmbedResult([(float(len(text)), 0.5) for text in request.input], "v", 3)

    serve.backend_from = lambda options, **_: Vectors("http://127.0.0.1:1", api_key="")
    del words[0]
sys.exit(main(["serve", *words]))
"""


class Served:
    """The command in a process of its own, in front of an upstream."""

    def __init__(self, which, *words, upstream=None, seconds=60.0, environment=None):
        command = [sys.executable, "-c", PROGRAM, which, str(seconds)]
        self.process = subprocess.Popen(
            [*command, *words, "--base-url", getattr(upstream, "url", "http://127.0.0.1:1")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=HERE,  # not the checkout, whose package would come before the one installed
        )
        said = self.process.stdout.readline()
        found = re.search(r"listening on (http://127.0.0.1:(\d+)/v1) for http://127", said)
        if found is None:
            self.process.kill()
            raise AssertionError(said + self.process.communicate(timeout=SOON)[1])
        self.url, self.port = found[1], int(found[2])
        self.upstream = upstream
        self._interrupted = False

    def __enter__(self):
        return self

    def interrupt(self):
        """Press Ctrl-C, once."""
        if not self._interrupted:
            self._interrupted = True
            self.process.send_signal(signal.SIGINT)

    def __exit__(self, *_):
        self.interrupt()
        out, err = self.process.communicate(timeout=SOON)
        assert (self.process.returncode, out, err) == (130, "", "stopped\n"), err
