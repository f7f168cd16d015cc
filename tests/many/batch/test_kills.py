"""A batch that is killed, at whatever moment, goes on where it was: nothing lost, nothing twice.

``INFERD_ENGINE_KILLS`` says how many moments are tried.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import textwrap
import threading

KILLS = int(os.environ.get("INFERD_ENGINE_KILLS", "10"))
AT_MOST = 0.15  # seconds of a life, from its first sign on
PROMPTS = 30 * KILLS + 200

PROGRAM = """
    import os, sys
    import inferd_engine as ie

    path, count = sys.argv[1], int(sys.argv[2])
    mock = ie.Mock(answers=[lambda r: r.messages[-1].content[0].text * 50], token_delay=0.002)
    prompts = (f"p{number} " for number in range(count))
    os.write(1, b"here\\n")
    for result in mock.map(prompts, concurrency=8, journal=path):
        os.write(1, b"%d\\n" % result.index)
    os.write(1, b"over\\n")
"""


def life(path, program, seconds):
    """Run a batch for a while; give the indexes that it gave before it was killed, and its last."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    batch = subprocess.Popen(
        [sys.executable, str(program), str(path), str(PROMPTS)],
        stdout=subprocess.PIPE,
        env=clean,
        cwd=path.parent,
    )
    with batch:
        assert batch.stdout.readline() == b"here\n"
        killer = threading.Timer(seconds, batch.kill)
        if seconds:
            killer.start()
        said = batch.stdout.read().split()
        killer.cancel()
    is_over = said[-1:] == [b"over"]
    return {int(word) for word in (said[:-1] if is_over else said)}, is_over


def test_killed_at_random_moments(tmp_path):
    """After each death what was given is in the file, whole and once; in the end all is."""
    path, program = tmp_path / "answers.jsonl", tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM), "utf-8")
    chance = random.Random(7)
    known = set()
    for _ in range(KILLS):
        given, is_over = life(path, program, chance.uniform(0.001, AT_MOST))
        written = path.read_bytes() if path.exists() else b""
        whole = written[: written.rfind(b"\n") + 1].splitlines()
        indexes = [json.loads(line)["index"] for line in whole]
        assert len(set(indexes)) == len(indexes)
        assert given <= set(indexes)
        assert known <= set(indexes)
        known = set(indexes)
        if is_over:
            break
    given, is_over = life(path, program, 0)
    assert is_over
    assert given == set(range(PROMPTS))
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert sorted(line["index"] for line in lines) == list(range(PROMPTS))
    assert all(line["completion"]["text"] == f"p{line['index']} " * 50 for line in lines)
