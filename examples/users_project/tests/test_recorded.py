"""What a real upstream said, replayed; ``pytest --inferd-record`` asks it anew."""

from __future__ import annotations

import os
from collections.abc import Callable

from explainer import lines

import inferd_engine as ie
from inferd_engine.testing import Cassette

UPSTREAM = os.environ.get("EXPLAINER_UPSTREAM", "https://api.openai.com")


def test_the_sky(inferd_cassette: Callable[..., Cassette]) -> None:
    """The program cuts a real answer into lines."""
    cassette = inferd_cassette(upstream=UPSTREAM)
    key = os.environ.get("OPENAI_API_KEY", "") if cassette.is_recording else ""
    with ie.OpenAiCompat(cassette.url, api_key=key, model="gpt-4o-mini") as backend:
        got = list(lines(backend, "the blue of the sky"))
    assert len(got) == 3
    assert all(got)
