"""A merge where greenlets have taken the place of threads: it waits as they do."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from inferd_engine.testing import Upstream

PATCH = {
    "gevent": "from gevent import monkey, sleep, spawn; monkey.patch_all()",
    "eventlet": "import eventlet; from eventlet import sleep, spawn; eventlet.monkey_patch()",
}
PROGRAM = """
    import warnings
    warnings.simplefilter("ignore")  # eventlet's own, of its end
    {patch}
    import sys
    import inferd_engine as ie
    beats = []
    def beat():
        while True:
            beats.append(1)
            sleep(0.001)
    spawn(beat)
    for buffer in (0, 512):
        backend = ie.OpenAiCompat(base_url=sys.argv[1], api_key="", buffer=buffer)
        mock = ie.Mock("mocked", token_delay=0.05, buffer=buffer)
        streams = [backend.stream(f"n {{n}}") for n in range(10)] + [mock.stream("x")]
        texts = dict.fromkeys(streams, "")
        with ie.merge(streams) as merge:
            for stream, event in merge:
                texts[stream] += event.delta if event.type == "text" else ""
        assert [*texts.values()] == [f"You said: n {{n}}" for n in range(10)] + ["mocked"], texts
        assert all(stream.done for stream in streams)
        silent = ie.Mock("never", token_delay=60.0, buffer=buffer).stream("x")
        with ie.merge([silent]) as merge:
            beats.clear()
            assert merge.poll(0.05) is None
            assert beats
        assert silent.cancelled
        backend.close()
    print("fine")
"""


@pytest.mark.parametrize("kind", PATCH)
def test_merge(kind):
    """Streams are merged, others go on meanwhile, and poll() keeps its time."""
    pytest.importorskip(kind)
    with Upstream() as upstream:
        program = textwrap.dedent(PROGRAM).format(patch=PATCH[kind])
        ran = subprocess.run(
            [sys.executable, "-c", program, upstream.url],
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "fine\n", "")
