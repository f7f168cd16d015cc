"""docs/anthropic.md is true: its snippets run, in their order, against a real upstream."""

from __future__ import annotations

import re
from pathlib import Path

from anthropic_messages import AnyPath, text_reply, tool_reply

MANUAL = (Path(__file__).parents[2] / "docs" / "anthropic.md").read_text("utf-8")


class Answering(AnyPath):
    """Call a tool where there is one and no result, else say hello."""

    def _reply_to(self, received):
        asked = received.json
        if asked.get("tools") and asked["messages"][-1]["content"][0]["type"] == "text":
            return tool_reply("weather", {}, thought="hm")
        return text_reply("Hello.")


def test_snippets_run(capsys):
    """Every Python snippet runs."""
    with Answering() as upstream:
        names = {}
        for code in re.findall(r"^```python\n(.*?)^```", MANUAL, re.MULTILINE | re.DOTALL):
            exec(code.replace("http://localhost:8080", upstream.url), names)
        names["backend"].close()
        names["local"].close()
        sent = [received.json for received in upstream.requests]
    assert capsys.readouterr().out == "Hello.Hello.\nHello.\n"
    assert sent[2]["messages"][1]["content"][0]["signature"] == "c2ln"
    assert sent[3]["messages"][0]["content"][1]["type"] == "document"
