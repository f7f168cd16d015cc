"""The mock's own knobs."""

from __future__ import annotations

import pytest

import inferd_engine as ie


def test_the_default_answer():
    """Without a configuration it says one thing."""
    completion = ie.Mock().complete("x")
    assert completion.text == "mock-response"
    assert completion.done.usage == ie.Usage(0, 1)


def test_a_configuration_or_its_fields():
    """A configuration, fields, and both together mean the same."""
    config = ie.MockConfig(tokens=["a"])
    assert ie.Mock(config).complete("x").text == "a"
    assert ie.Mock(tokens=["a"]).complete("x").text == "a"
    assert ie.Mock(config, tokens=["b"]).complete("x").text == "b"


def test_an_error_before_the_stream_is_raised_by_the_call():
    """pre_stream_error is raised by stream() itself."""
    backend = ie.Mock(pre_stream_error=ie.TransportError("down"))
    with pytest.raises(ie.TransportError, match="down"):
        backend.stream("x")


def test_readiness_can_be_pretended():
    """set_ready(False) makes calls fail in a way that may be retried."""
    backend = ie.Mock()
    backend.set_ready(False)
    assert not backend.ready()
    with pytest.raises(ie.NotReadyError) as caught:
        backend.stream("x")
    assert caught.value.retryable is True
    backend.set_ready(True)
    assert backend.complete("x").text


def test_a_drop_beyond_the_end_is_none():
    """mid_stream_drop_after drops only what is there."""
    assert ie.Mock(tokens=["a"], mid_stream_drop_after=1).complete("x").text == "a"


def test_requests_are_checked():
    """The mock refuses what every backend refuses."""
    with pytest.raises(ie.InvalidRequestError, match="max_tokens"):
        ie.Mock().stream("x", max_tokens=0)


def test_it_is_a_backend():
    """It names itself, says what it can do, and stops at the end of with."""
    with ie.Mock() as backend:
        assert isinstance(backend, ie.Backend)
        assert backend.name == "mock"
        assert backend.capabilities().v2
        assert not backend.capabilities().vision
    assert not backend.ready()
