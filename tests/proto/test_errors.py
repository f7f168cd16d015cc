"""The errors: who must act, what they carry, and that they cross process pools."""

import copy
import json
import pickle

import pytest

import inferd_engine as ie

PARENTS = {
    "GenerateError": (Exception,),
    "NotReadyError": (ie.GenerateError,),
    "InvalidRequestError": (ie.GenerateError, ValueError),
    "AttachmentUnsupportedError": (ie.InvalidRequestError,),
    "UnknownContentBlockError": (ie.InvalidRequestError,),
    "NonTextToolResultError": (ie.InvalidRequestError,),
    "UnsupportedError": (ie.InvalidRequestError,),
    "UnavailableError": (ie.GenerateError,),
    "TransportError": (ie.UnavailableError,),
    "DeadlineError": (ie.UnavailableError, TimeoutError),
    "HttpStatusError": (ie.UnavailableError,),
    "UpstreamError": (ie.UnavailableError,),
    "ToolCallMalformedError": (ie.UnavailableError,),
    "StreamInterruptedError": (ie.UnavailableError,),
    "RequestCancelledError": (ie.GenerateError,),
    "InternalError": (ie.GenerateError,),
}
FIELDS = {
    "DeadlineError": {"phase": "idle"},
    "HttpStatusError": {
        "status": 429,
        "body": "slow down",
        "upstream_message": "slow",
        "headers": {"retry-after": "1"},
        "retry_after": 1.0,
    },
    "UpstreamError": {"upstream_message": "no memory", "code": "500"},
    "ToolCallMalformedError": {"tool_call_id": "c1", "name": "f", "arguments": "{a"},
}
COMMON = {
    "retryable": True,
    "request_id": "r1",
    "partial": ie.Completion("half", "hm", (ie.ToolUse("c", "f", {"x": 1}),)),
}


def full(name):
    """Make an error with every attribute set."""
    return getattr(ie, name)("what happened", **FIELDS.get(name, {}), **COMMON)


@pytest.mark.parametrize("name", PARENTS)
def test_class_tree(name):
    """Every class has the parents of the contract and no others."""
    assert getattr(ie, name).__bases__ == PARENTS[name]


def test_the_tree_is_complete():
    """There is no public error that the tree does not name."""
    errors = {
        name
        for name in ie.__all__
        if isinstance(kind := getattr(ie, name), type) and issubclass(kind, ie.GenerateError)
    }
    assert errors == set(PARENTS)


@pytest.mark.parametrize("name", PARENTS)
def test_retryable_by_default(name):
    """What a wait may cure is retryable: a backend that is not ready, and what is unavailable."""
    kind = getattr(ie, name)
    expected = issubclass(kind, (ie.UnavailableError, ie.NotReadyError))
    assert kind("a").retryable is expected


@pytest.mark.parametrize("name", PARENTS)
@pytest.mark.parametrize("retryable", [True, False])
def test_retryable_may_be_set(name, retryable):
    """What is known about one failure wins over its class."""
    assert getattr(ie, name)("a", retryable=retryable).retryable is retryable


@pytest.mark.parametrize("name", PARENTS)
def test_what_is_unknown_is_none(name):
    """An error made with a message alone has that message, no request id and no partial."""
    error = getattr(ie, name)("what happened")
    assert (str(error), error.request_id, error.partial) == ("what happened", None, None)


@pytest.mark.parametrize("name", PARENTS)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_with_its_attributes(name, protocol):
    """Every error comes out of a pickle with its class, message and attributes."""
    error = full(name)
    found = pickle.loads(pickle.dumps(error, protocol))
    assert type(found) is type(error)
    assert (str(found), found.args) == ("what happened", ("what happened",))
    assert vars(found) == vars(error)
    assert vars(found).keys() >= COMMON.keys()


@pytest.mark.parametrize("name", PARENTS)
def test_pickles_with_its_causes(name):
    """The whole chain of causes comes out of a pickle."""
    error = full(name)
    error.__cause__ = ie.TransportError("reset", request_id="r2")
    error.__cause__.__cause__ = ConnectionResetError(104, "by peer")
    found = pickle.loads(pickle.dumps(error))
    assert isinstance(found.__cause__, ie.TransportError)
    assert found.__cause__.request_id == "r2"
    assert found.__cause__.__cause__.args == (104, "by peer")


@pytest.mark.parametrize("name", PARENTS)
def test_copies(name):
    """A copy of an error has its attributes too."""
    error = full(name)
    assert vars(copy.copy(error)) == vars(error)


@pytest.mark.parametrize("phase", ["connect", "first_token", "idle", "total"])
def test_deadline_names_its_phase(phase):
    """A deadline's error says which clock ran out, and is a TimeoutError."""
    with pytest.raises(TimeoutError) as caught:
        raise ie.DeadlineError("late", phase=phase)
    assert caught.value.phase == phase


def test_http_status_attributes():
    """The answer's status, body, message, headers and wait are on the error."""
    error = full("HttpStatusError")
    assert (error.status, error.body, error.message) == (429, "slow down", "slow")
    assert (error.headers, error.retry_after) == ({"retry-after": "1"}, 1.0)


def test_http_status_keeps_its_own_headers():
    """Headers that change after the error was made do not change on it."""
    headers = {"a": "1"}
    error = ie.HttpStatusError("m", headers=headers)
    headers["a"] = "2"
    assert error.headers == {"a": "1"}


def test_upstream_error_attributes():
    """The upstream's own words and code are on the error; our message is its text."""
    error = full("UpstreamError")
    assert (str(error), error.message, error.code) == ("what happened", "no memory", "500")


def test_upstream_error_without_words():
    """Where the upstream said nothing of its own, the message is ours and the code is None."""
    error = ie.UpstreamError("too large")
    assert (error.message, error.code) == ("too large", None)


def test_malformed_tool_call_attributes():
    """The call's id, its name and the raw arguments are on the error."""
    error = full("ToolCallMalformedError")
    assert (error.tool_call_id, error.name, error.arguments) == ("c1", "f", "{a")


def test_invalid_request_is_a_value_error():
    """Who catches ValueError for bad input catches an invalid request."""
    with pytest.raises(ValueError, match=r"^bad$"):
        raise ie.UnsupportedError("bad")


def test_event_too_large_pickles():
    """The decoder's own error names size and limit, keeps the events and pickles with them."""
    error = ie.EventTooLargeError(20, 10, ["before"])
    found = pickle.loads(pickle.dumps(error))
    assert (found.size, found.limit, found.events) == (20, 10, ["before"])
    assert "20 bytes" in str(found)
    assert "limit is 10" in str(found)


@pytest.mark.parametrize("cls", [getattr(ie, name) for name in PARENTS])
def test_to_dict(cls):
    """Every error becomes JSON: the class, the message, whether to retry, then its own fields."""
    error = cls("it broke", request_id="r-1")
    data = json.loads(json.dumps(error.to_dict()))
    assert list(data)[:4] == ["error", "message", "retryable", "request_id"]
    assert data["error"] == cls.__name__
    assert (data["message"], data["request_id"]) == ("it broke", "r-1")
    assert data["retryable"] is error.retryable
    assert "partial" not in data


def test_to_dict_of_an_upstreams_words():
    """What the upstream said stays apart from what we say; what had come is there."""
    error = ie.HttpStatusError(
        "the upstream answered 429", status=429, upstream_message="slow down", retry_after=2.0
    )
    error.partial = ie.Completion("half")
    data = error.to_dict()
    assert data["message"] == "the upstream answered 429"
    assert data["upstream_message"] == "slow down"
    assert (data["status"], data["retry_after"]) == (429, 2.0)
    assert ie.Completion.from_dict(data["partial"]).text == "half"
    assert error.message == "slow down"  # nothing was taken from the error itself
