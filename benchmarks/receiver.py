"""The limit: ``receiver.c``, compiled on the spot; it receives, and does not look at what comes."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

SOURCE = Path(__file__).with_name("receiver.c")


def receive(
    address: str, model: str, streams: int, events: int, read: int = 65536
) -> dict[str, float]:
    """Read answers of a model, so many at once, ``events`` in all; give what that took."""
    with tempfile.TemporaryDirectory() as folder:
        program = str(Path(folder, "receiver"))
        subprocess.run(["cc", "-O2", f"-DREAD={read}", "-o", program, str(SOURCE)], check=True)
        words = [program, str(urlsplit(address).port), model, str(streams), str(events)]
        printed = subprocess.run(words, stdout=subprocess.PIPE, check=True, text=True).stdout
    found: dict[str, float] = json.loads(printed)
    assert found["events"] == events, found
    return found
