"""From bytes to events: ours against the decoders of other clients, on the same reads."""

from __future__ import annotations

import pytest
from decoders import DECODERS
from streams import STREAMS


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("decoder", DECODERS)
def test_decode(benchmark, stream, decoder):
    """Decode a whole stream; what is counted has to be there."""
    reads, count = STREAMS[stream]
    benchmark.group = stream
    benchmark.name = decoder
    benchmark.extra_info["events"] = count
    decoded = benchmark.pedantic(
        DECODERS[decoder], args=[reads], rounds=5, warmup_rounds=1, iterations=1
    )
    if decoder != "bytes.split":  # which cuts wherever the reads end
        assert decoded == count
