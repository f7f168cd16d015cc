"""Embedding requests."""

import math

import attrs
import pytest

import inferd_engine as ie
from inferd_engine.proto.embed import EMBED_TASKS


def refusal(request):
    """Give the message with which a request is refused."""
    with pytest.raises(ie.InvalidRequestError) as caught:
        request.resolve()
    return str(caught.value)


def test_a_str_is_one_input():
    """A bare str is one text, not its characters."""
    assert ie.EmbedRequest("abc").resolve() == ie.EmbedResolved(("abc",))


def test_resolve_keeps_everything():
    """resolve() gives what was asked for and fills nothing in."""
    request = ie.EmbedRequest(["a", "b"], id="r", dimensions=1, task="similarity")
    assert request.resolve() == ie.EmbedResolved(("a", "b"), "r", 1, "similarity")


def test_no_input():
    """A request without texts is refused."""
    for wrong, kind in ((None, "None"), (3, "of type int"), (ie.Mock(), "of type Mock")):
        with pytest.raises(ie.InvalidRequestError, match=f"^input is {kind}: give a str or a list"):
            ie.EmbedRequest(wrong)
    assert refusal(ie.EmbedRequest([])) == "input is empty: give at least one text"


@pytest.mark.parametrize("text", ["", None, 5, b"a"])
def test_an_input_that_is_no_text(text):
    """An input that is empty or no str is refused with its place."""
    assert refusal(ie.EmbedRequest(["a", text])).startswith("input[1] is not a text")


@pytest.mark.parametrize("value", [0, -1, True, 1.5, math.nan, "8"])
def test_dimensions_out_of_range(value):
    """Dimensions that are no whole number above 0 are refused by name."""
    message = refusal(ie.EmbedRequest("a", dimensions=value))
    assert message == f"dimensions is {value!r}: it has to be a whole number, 1 or more"


@pytest.mark.parametrize("task", [None, *EMBED_TASKS])
def test_task_words(task):
    """Every task word of inferd is taken, and none at all."""
    assert ie.EmbedRequest("a", task=task).resolve().task == task


@pytest.mark.parametrize("task", ["", "search", 1])
def test_other_tasks_are_refused(task):
    """A task that is none of inferd's words is refused with the list of them."""
    message = refusal(ie.EmbedRequest("a", task=task))
    assert message == f"task is {task!r}: take one of {', '.join(EMBED_TASKS)}"


def test_to_dict_leaves_out_what_is_unset():
    """The JSON of a request that sets nothing has its input alone."""
    assert ie.EmbedRequest("a").to_dict() == {"input": ["a"]}


@pytest.mark.parametrize(
    "request_",
    [
        ie.EmbedRequest("a"),
        ie.EmbedRequest(["a", "b"], id="r", dimensions=256, task="clustering"),
    ],
)
def test_round_trip(request_):
    """from_dict() gives the request back that to_dict() was asked for."""
    assert ie.EmbedRequest.from_dict(request_.to_dict()) == request_


def test_unknown_fields_are_ignored():
    """Fields that this version does not know do not matter."""
    assert ie.EmbedRequest.from_dict({"input": "a", "x": 1}) == ie.EmbedRequest("a")


def test_json_without_input():
    """JSON without input is refused."""
    with pytest.raises(ie.InvalidRequestError, match=r"^the request has no field 'input'$"):
        ie.EmbedRequest.from_dict({"id": "r"})


@pytest.mark.parametrize(
    "value", [ie.EmbedRequest("a"), ie.EmbedResolved(("a",)), ie.EmbedResult(((0.5,),))]
)
def test_values_are_frozen_and_have_slots(value):
    """Requests and results can neither be changed nor given other attributes."""
    name = attrs.fields(type(value))[0].name
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(value, name, None)
    assert not hasattr(value, "__dict__")
