"""Make ``inferd_engine/testing/quirks.jsonl``: one answer for each row of the table of quirks.

    PYTHONPATH=tests python tests/quirk_vectors.py

An answer is the wire vector that shows the row alone, or with the fewest others, and is shortest.
Rows about requests have no vector: their answers, written by hand, are the servers' refusals.  So
is what a vector cannot say: how the connection ends.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from answer_vectors import VECTORS

VECTORS_FOLDER = Path(__file__).parent / "vectors"
TARGET = Path(__file__).parents[1] / "inferd_engine" / "testing" / "quirks.jsonl"
OWN = VECTORS_FOLDER / "quirks_by_hand.jsonl"
KEPT = ("status", "content_type", "headers", "body", "body_base64")
KEPT += ("split", "hold", "cut", "framing")
ROW = re.compile(r"^\| ([A-Z]\d\d) \| (.*?) \| (.*?) \| ", re.MULTILINE)


def rows():
    """Give the table: ids, servers, and what arrives."""
    return ROW.findall((VECTORS_FOLDER / "quirks.md").read_text("utf-8"))


def vector_of(quirk):
    """Give the vector that shows a quirk best."""
    return min(
        (
            vector
            for vector in VECTORS
            if quirk in vector.get("quirk_ids", ()) and "choices" not in vector
        ),
        key=lambda vector: (len(vector["quirk_ids"]), len(json.dumps(vector))),
    )


def text():
    """Give the file."""
    own = {line["id"]: line for line in map(json.loads, OWN.read_text("utf-8").splitlines())}
    lines = []
    for quirk, server, what in rows():
        chosen = own.get(quirk, {})
        if "body" not in chosen:
            chosen = {**vector_of(quirk), **chosen}
        answer = {name: chosen[name] for name in KEPT if name in chosen}
        if "body_base64" in answer:
            answer.pop("body", None)
        line = {"id": quirk, "server": server, "what": what, **answer}
        lines.append(json.dumps(line, ensure_ascii=False) + "\n")
    return "".join(lines)


if __name__ == "__main__":
    TARGET.write_text(text(), "utf-8")
