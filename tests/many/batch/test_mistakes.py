"""Every wrong call says what is wrong, and asks nobody."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

import inferd_engine as ie


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        ({"prompts": "one prompt"}, TypeError, r"prompts is of type str, one prompt: .*\[prompt\]"),
        ({"prompts": {"prompt": "x"}}, TypeError, "prompts is of type dict"),
        ({"prompts": ie.user("x")}, TypeError, "prompts is of type MessageV2"),
        ({"prompts": 7}, TypeError, "prompts is of type int: give an iterable"),
        ({"prompts": None}, TypeError, "prompts is of type NoneType"),
        ({"concurrency": 0}, ie.InvalidRequestError, "concurrency is 0.*1 or more, or 'auto'"),
        ({"concurrency": -1}, ie.InvalidRequestError, "concurrency is -1"),
        ({"concurrency": 1.5}, ie.InvalidRequestError, "concurrency is 1.5"),
        ({"concurrency": True}, ie.InvalidRequestError, "concurrency is True"),
        ({"concurrency": "many"}, ie.InvalidRequestError, "concurrency is 'many'"),
        ({"concurrency": None}, ie.InvalidRequestError, "concurrency is None"),
        ({"retry": 3}, TypeError, r"retry is 3: give a Retry, such as Retry\(attempts=3\)"),
        ({"ordered": "yes"}, TypeError, "ordered is 'yes': give True or False"),
        ({"progress": 1}, TypeError, "progress is 1: give True or False"),
        ({"cancel": True}, TypeError, "cancel is of type bool: give a CancelToken to map"),
        ({"executor": 4}, TypeError, "executor is of type int: give one of concurrent.futures"),
        ({"executor": ThreadPoolExecutor}, TypeError, r"is a class: make one .*Executor\(\)"),
        ({"journal": 4}, TypeError, "journal is 4: give the path of a file"),
        ({"journal": ""}, ie.InvalidRequestError, "journal"),
        ({"journal": "."}, ie.InvalidRequestError, r"^journal '\.' is not a file: name one"),
        ({"journal": "no/such/folder"}, ie.InvalidRequestError, "No such file or directory"),
        ({"journal": "a\0b"}, ie.InvalidRequestError, "null"),
        ({"max_token": 4}, TypeError, r"map\(\) has no argument 'max_token': did you mean"),
        ({"max_tokens": 0}, ie.InvalidRequestError, "max_tokens is 0"),
        ({"temperature": "hot"}, ie.InvalidRequestError, "temperature is 'hot'"),
        ({"tools": [7]}, ie.InvalidRequestError, "tools"),
        ({"token_delay": 1.0}, TypeError, r"with_options\(token_delay=…\)"),
        ({"messages": []}, TypeError, "map"),
    ],
)
def test_a_wrong_call_is_refused(call, kind, said):
    """The call itself raises, and names what to give."""
    mock = ie.Mock("a")
    with pytest.raises(kind, match=said):
        mock.map(**{"prompts": ["x"], **call})
    assert mock.requests == []
