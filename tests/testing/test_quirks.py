"""Each row of the table of quirks can be met in a test, by its id."""

from __future__ import annotations

import pytest
import quirk_vectors
import requests

import inferd_engine as ie
from inferd_engine.testing import Upstream, quirk_reply, quirks


def test_the_table_is_whole():
    """Every row of the table is there, and what it answers is what the vectors say."""
    assert quirk_vectors.TARGET.read_text("utf-8") == quirk_vectors.text()
    assert list(quirks()) == [quirk for quirk, _, _ in quirk_vectors.rows()]
    assert "OPENROUTER PROCESSING" in quirks()["F03"]


@pytest.mark.parametrize("quirk", quirks())
def test_a_client_meets_it(quirk):
    """A client gets an answer or an error of ours: bounded, whatever the quirk is."""
    with Upstream(quirk_reply(quirk)) as upstream:
        with ie.OpenAiCompat(upstream.url, api_key="", timeout=20.0, idle_timeout=0.3) as backend:
            silent = backend.with_options(first_token_timeout=0.3)
            try:
                completion = silent.complete("Hi")
            except ie.GenerateError:
                pass
            else:
                assert completion.done is not None
        assert upstream.unused == ()
        assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    ("quirk", "kind"),
    [
        ("F16", ie.StreamInterruptedError),
        ("X10", ie.DeadlineError),
        ("Q02", ie.HttpStatusError),
        ("Q11", ie.HttpStatusError),
    ],
)
def test_what_some_end_with(quirk, kind):
    """A cut is a cut, silence is silence, a refusal is a status."""
    with Upstream(quirk_reply(quirk)) as upstream:
        with ie.OpenAiCompat(upstream.url, api_key="", first_token_timeout=0.3) as backend:
            with pytest.raises(kind):
                backend.complete("Hi")


def test_a_cut_is_one():
    """Where the table says that the connection is closed, it is closed in the middle."""
    with Upstream(quirk_reply("F16")) as upstream:
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            requests.post(f"{upstream.url}/v1/chat/completions", json={"messages": []}, timeout=10)


@pytest.mark.parametrize(
    ("quirk", "close"), [("F99", "F"), ("f03", "F03"), ("nonsense", ""), (3, "")]
)
def test_there_is_no_such_quirk(quirk, close):
    """An id that is not in the table is refused, with what is close."""
    with pytest.raises(ValueError, match=f"there is no quirk.*{close}"):
        quirk_reply(quirk)
