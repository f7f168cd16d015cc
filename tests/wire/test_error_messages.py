"""What error bodies say, as frameworks, gateways and providers write them."""

import json

import pytest

from inferd_engine.wire.answer.error_messages import find_codes, find_message

SENTENCE = "model must be a string"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        pytest.param({"error": "Word", "message": SENTENCE}, SENTENCE, id="a word and a sentence"),
        pytest.param(
            {"error": "invalid_grant", "error_description": SENTENCE}, SENTENCE, id="OAuth"
        ),
        pytest.param(
            {"error": "Validation failed", "message": SENTENCE},
            f"Validation failed: {SENTENCE}",
            id="two sentences",
        ),
        pytest.param({"error": SENTENCE, "message": SENTENCE}, SENTENCE, id="twice the same"),
        pytest.param({"error": SENTENCE, "message": "string"}, SENTENCE, id="the longer one"),
        pytest.param({"error": "Unauthorized", "message": ""}, "Unauthorized", id="only the word"),
        pytest.param({"error": "Unauthorized", "message": None}, "Unauthorized", id="and null"),
        pytest.param({"message": SENTENCE, "error": "Word"}, SENTENCE, id="in whatever order"),
        pytest.param({"Error": "Word", "Message": SENTENCE}, SENTENCE, id="in whatever case"),
        pytest.param(
            {"statusCode": 400, "message": [SENTENCE, "top_p is wrong"], "error": "Bad Request"},
            f"{SENTENCE}; top_p is wrong",
            id="NestJS",
        ),
        pytest.param(
            {"statusCode": 404, "message": "Cannot POST /v1", "error": "Not Found"},
            "Cannot POST /v1",
            id="NestJS, one",
        ),
        pytest.param(
            {"detail": [{"loc": ["body", "messages", 0, "role"], "msg": SENTENCE, "type": "t"}]},
            f"body.messages.0.role: {SENTENCE}",
            id="FastAPI",
        ),
        pytest.param(
            {"detail": [{"loc": [], "msg": "one"}, {"loc": "body", "msg": "two"}]},
            "one; two",
            id="FastAPI without places",
        ),
        pytest.param({"detail": {"error": {"message": SENTENCE}}}, SENTENCE, id="FastAPI, nested"),
        pytest.param(
            {
                "timestamp": "2025-01-01T00:00:00Z",
                "status": 500,
                "error": "Internal Server Error",
                "message": SENTENCE,
                "path": "/v1/chat/completions",
            },
            SENTENCE,
            id="Spring",
        ),
        pytest.param(
            {"status": 404, "error": "Not Found", "message": "No message available", "path": "/"},
            "Not Found",
            id="Spring without a message",
        ),
        pytest.param(
            {
                "type": "https://example.com/out-of-credit",
                "title": "You do not have enough credit.",
                "status": 403,
                "detail": "Your balance is 30.",
            },
            "You do not have enough credit.: Your balance is 30.",
            id="RFC 9457",
        ),
        pytest.param(
            {"title": "Forbidden", "status": 403}, "Forbidden", id="RFC 9457, title alone"
        ),
        pytest.param(
            {"title": "Bad Request", "detail": SENTENCE},
            SENTENCE,
            id="RFC 9457, title says nothing",
        ),
        pytest.param(
            {"title": "Errors occurred.", "errors": {"model": [SENTENCE], "top_p": ["is wrong"]}},
            f"Errors occurred.: model: {SENTENCE}; top_p: is wrong",
            id="ASP.NET",
        ),
        pytest.param(
            {"message": "The data was invalid.", "errors": {"model": [SENTENCE]}},
            f"The data was invalid.: model: {SENTENCE}",
            id="Laravel",
        ),
        pytest.param(
            {
                "data": None,
                "errors": [{"message": SENTENCE, "extensions": {"code": "UNAUTHENTICATED"}}],
            },
            SENTENCE,
            id="GraphQL",
        ),
        pytest.param(
            {"base_resp": {"status_code": 1008, "status_msg": SENTENCE}}, SENTENCE, id="MiniMax"
        ),
        pytest.param({"status": "439", "msg": SENTENCE, "body": None}, SENTENCE, id="iFlow"),
        pytest.param({"errMsg": SENTENCE, "errCode": 5}, SENTENCE, id="errMsg"),
        pytest.param({"error_msg": SENTENCE, "error_code": 336003}, SENTENCE, id="Baidu"),
        pytest.param({"errorMessage": SENTENCE}, SENTENCE, id="errorMessage"),
        pytest.param({"success": False, "errors": [{"code": 7, "message": SENTENCE}]}, SENTENCE),
        pytest.param({"message": {"role": "assistant", "content": "hi"}}, "", id="no error at all"),
        pytest.param({"error": {"message": [SENTENCE]}}, SENTENCE, id="a list in an object"),
        pytest.param(
            {"error": {"message": json.dumps({"error": {"message": SENTENCE}}, indent=1)}},
            SENTENCE,
            id="a body in a message",
        ),
        pytest.param({"error": {"message": '{"a": 1}'}}, '{"a": 1}', id="JSON that says nothing"),
        pytest.param({"error": {"message": '{"a": '}}, '{"a":', id="no JSON"),
    ],
)
def test_find_message(value, message):
    """The sentence that tells what is wrong is found; a word beside it is only its label."""
    assert find_message(value) == message


@pytest.mark.parametrize(
    ("value", "codes"),
    [
        ({"error": {"code": "c", "type": "t"}}, ["c", "t"]),
        ({"error": {"type": "t", "code": None}, "code": 5}, ["t", "5"]),
        ({"code": "c", "status": 400, "type": "about:blank"}, ["c", "400"]),
        ({"type": "error", "error": {"type": "overloaded_error"}}, ["overloaded_error"]),
        ({"status": "error", "message": "m"}, []),
        ({"errors": [{"message": "m", "extensions": {"code": "C"}}]}, ["C"]),
        ({"base_resp": {"status_code": 1008}}, ["1008"]),
        (
            {"fault": {"detail": {"errorcode": "policies.QuotaViolation"}}},
            ["policies.QuotaViolation"],
        ),
        ({"statusCode": 429, "errorCode": "TooMany"}, ["429", "TooMany"]),
        ({"error": "Word"}, []),
        ({"code": True, "type": ["t"]}, []),
        ([{"error": {"code": 429}}], ["429"]),
        ("text", []),
        (None, []),
    ],
)
def test_find_codes(value, codes):
    """All words and numbers that name an error are found, the innermost first."""
    assert find_codes(value) == codes


def test_what_is_nested_too_deeply_is_left():
    """A body made of nested errors is looked at no deeper than people write."""
    value = {"code": "c", "message": "m"}
    for _ in range(50):
        value = {"error": value}
    assert (find_message(value), find_codes(value)) == ("", [])
