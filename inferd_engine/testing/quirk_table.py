"""What OpenAI-compatible servers really send: an answer for each row of the table of quirks.

The answers are in ``quirks.jsonl``, one a line: what real servers sent, in short.  Rows about
requests (``Q…``) are given as the refusal that a server answers with.
"""

from __future__ import annotations

import base64
import difflib
import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferd_engine.testing.replies import Reply
from inferd_engine.testing.steps import Cut, Stall

if TYPE_CHECKING:
    from inferd_engine.testing.steps import Step


@functools.cache
def _table() -> dict[str, dict[str, Any]]:
    text = Path(__file__).with_name("quirks.jsonl").read_text("utf-8")
    return {line["id"]: line for line in map(json.loads, text.split("\n")[:-1])}


def quirks() -> dict[str, str]:
    """Return the ids of all quirks, each with the servers and what arrives from them."""
    return {name: f"{line['server']}: {line['what']}" for name, line in _table().items()}


def quirk_reply(quirk: str) -> Reply:
    """Answer as a server does that has this quirk.

    Args:
        quirk: Its id, one of ``quirks()``: ``"F03"`` sends comments before the first chunk.

    Raises:
        ValueError: There is no such quirk.
    """
    line = _table().get(quirk)
    if line is None:
        close = difflib.get_close_matches(str(quirk).upper(), _table(), n=3, cutoff=0.3)
        raise ValueError(
            f"there is no quirk {quirk!r}; quirks() has them all, {', '.join(close)} are close"
        )
    body = base64.b64decode(line.get("body_base64", "")) or line.get("body", "").encode()
    size = 1 if line.get("split") == "every_byte" else max(1, len(body))
    steps: list[Step] = [body[at : at + size] for at in range(0, len(body), size)]
    if line.get("hold"):
        steps.append(Stall())
    if line.get("cut"):
        steps.append(Cut())
    headers = {"Content-Type": line["content_type"] or "", **line.get("headers", {})}
    return Reply(steps, line["status"], headers, framing=line.get("framing", "chunked"))
