"""``serve --llamacpp``: a server whose computing stops when the client leaves."""

from __future__ import annotations

import re
import time

from cli.running import start

import inferd_engine as ie

LONG = "я" * 7000  # half a minute of reading


def test_a_client_that_leaves_stops_the_model(slow):
    """The next is answered long before the first would have been."""
    server = start("serve", "--llamacpp", str(slow), text=True)
    try:
        said = server.stdout.readline()
        url = re.search(r"http://\S+", said)[0]
        assert said.endswith("for slow, in this process\n")
        backend = ie.OpenAiCompat(base_url=url, api_key="", model="slow", first_token_timeout=1.0)
        try:
            backend.complete(LONG)
        except ie.DeadlineError:
            left = time.monotonic()
        patient = backend.with_options(first_token_timeout=None)
        answer = patient.complete("Hi", max_tokens=2)
        assert answer.usage.output_tokens == 2
        assert time.monotonic() - left < 8
    finally:
        server.kill()
        server.communicate()
