"""What servers of somebody else's are asked, whichever of them it is."""

from __future__ import annotations

import pytest

import inferd_engine as ie

SKY = "The sky is blue: Привет 你好 😀, and that is all there is to say."
WEATHER = ie.Tool(
    "get_weather",
    "Look at the sky.",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
both_ways = pytest.mark.parametrize("stream", [True, False], ids=lambda stream: f"stream={stream}")
