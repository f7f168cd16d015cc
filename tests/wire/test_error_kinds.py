"""What an error is about: whether asking again may help, and whether it is an error at all."""

import json

import pytest

from inferd_engine.wire.answer.error_kinds import is_error
from inferd_engine.wire.answer.errors import http_error, upstream_error
from inferd_engine.wire.openai.choice_ends import error_in_choice


def refused(status, value, headers=None):
    """Make the error for this status and body."""
    body = json.dumps(value).encode()
    return http_error(status, headers or {}, body, place="http://h/", hint="", own_id="")


EMPTY_ACCOUNTS = {
    "OpenAI": {"error": {"message": "You exceeded …", "type": "insufficient_quota", "code": None}},
    "OpenAI code": {"error": {"message": "m", "type": "tokens", "code": "insufficient_quota"}},
    "OpenAI limit": {"error": {"message": "m", "code": "billing_hard_limit_reached"}},
    "in capitals": {"error": {"message": "m", "code": "INSUFFICIENT_QUOTA"}},
    "with hyphens": {"error": {"message": "m", "code": "insufficient-quota"}},
    "in humps": {"error": {"message": "m", "type": "InsufficientQuota"}},
    "as a label": {"error": "insufficient_balance", "message": "m"},
    "flat": {"code": "insufficient_quota", "message": "m"},
    "Anthropic": {
        "type": "error",
        "error": {
            "type": "invalid_request_error",
            "message": "Your credit balance is too low to access the API.",
        },
    },
    "OpenRouter": {"error": {"code": 429, "message": "This request requires more credits"}},
    "DeepSeek": {"error": {"message": "Insufficient Balance", "type": "unknown_error"}},
    "DashScope": {"code": "Arrearage", "message": "Access denied, account is not in good standing"},
    "Z.ai": {"error": {"code": "1113", "message": "余额不足或无可用资源包,请充值。"}},
    "MiniMax": {"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}},
    "SiliconFlow": {"code": 30001, "message": "Sorry, your account balance is insufficient"},
    "Kimi": {
        "error": {"message": "You've reached kimi monthly usage limit for this billing cycle."}
    },
    "Anthropic's type": {"type": "error", "error": {"type": "billing_error", "message": "m"}},
    "credits": {"error": {"message": "m", "code": "credits_exhausted"}},
    "credit limit": {"error": {"message": "m", "type": "credit_limit_reached"}},
    "no credits": {"error": {"message": "m", "code": "NoCreditsLeft"}},
    "deactivated": {"error": {"code": "account_deactivated", "message": "m"}},
}
UNKNOWN_MODELS = {
    "OpenAI": {
        "error": {"message": "m", "type": "invalid_request_error", "code": "model_not_found"}
    },
    "vLLM": {"error": {"message": "The model `x` does not exist.", "type": "NotFoundError"}},
    "Ollama": {"error": {"message": "model 'x' not found", "type": "api_error"}},
    "one-api": {
        "error": {"message": "No channel", "type": "new_api_error", "code": "model_not_found"}
    },
    "SiliconFlow": {"code": 20012, "message": "Model does not exist. Please check it carefully."},
    "Mistral": {"message": "Invalid model: x", "type": "invalid_model", "code": "1500"},
    "Azure": {"error": {"code": "DeploymentNotFound", "message": "m"}},
    "Zhipu": {"error": {"code": "1211", "message": "模型不存在"}},
    "in capitals": {"error": {"message": "m", "code": "Model_Not_Found"}},
    "DashScope": {"code": "ModelNotFound", "message": "m"},
}
REFUSED_CONTENT = {
    "OpenAI": {"error": {"message": "m", "code": "content_policy_violation"}},
    "Azure": {"error": {"message": "m", "code": "content_filter", "innererror": {}}},
    "Azure inner": {"error": {"message": "… content management policy …", "code": "400"}},
    "OpenRouter": {"error": {"message": "Your input was flagged", "code": 403}},
    "moderation": {"error": {"message": "m", "type": "moderation_blocked"}},
    "DashScope": {"code": "data_inspection_failed", "message": "m"},
    "DashScope humps": {"code": "DataInspectionFailed", "message": "m"},
    "Bedrock": {"error": {"message": "m", "type": "ResponsibleAIPolicyViolation"}},
}
LASTING = {
    f"{kind}: {name}": value
    for kind, values in (
        ("account", EMPTY_ACCOUNTS),
        ("model", UNKNOWN_MODELS),
        ("content", REFUSED_CONTENT),
    )
    for name, value in values.items()
}
PASSING = {
    "rate limit": {"error": {"message": "Rate limit reached", "code": "rate_limit_exceeded"}},
    "Gemini": {
        "error": {
            "code": 429,
            "message": "You exceeded your current quota, please check your plan. Retry in 7s.",
            "status": "RESOURCE_EXHAUSTED",
        }
    },
    "Cerebras": {
        "message": "Too many",
        "type": "too_many_requests_error",
        "code": "request_quota_exceeded",
    },
    "DashScope": {"code": "Throttling.RateQuota", "message": "Requests rate limit exceeded"},
    "overloaded": {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
    "SiliconFlow": {"code": 50505, "message": "Model service overloaded. Please try again later."},
    "server": {"error": {"message": "The server had an error", "type": "server_error"}},
    "model is busy": {"error": {"message": "The model is currently unavailable, try again"}},
    "nothing": {"error": {}},
}


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize("name", LASTING)
def test_what_lasts_is_not_asked_again(name, status):
    """An empty account, an unknown model and refused content are final, whatever the status."""
    assert refused(status, LASTING[name]).retryable is False


@pytest.mark.parametrize("name", LASTING)
def test_what_lasts_inside_an_answer(name):
    """The same inside of an answer with status 200."""
    assert upstream_error(LASTING[name]).retryable is False


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("name", PASSING)
def test_what_may_pass(name, status):
    """Limits of rate and trouble of the server pass, though some of their words sound final."""
    assert refused(status, PASSING[name]).retryable is True
    assert upstream_error(PASSING[name]).retryable is True


def test_the_status_402_is_final():
    """Payment is required, whatever the body says."""
    assert refused(402, {}).retryable is False
    assert upstream_error({"error": {"code": 402, "message": "m"}}).retryable is False
    assert upstream_error({"error": {"code": "402", "message": "m"}}).retryable is False


def test_an_upstream_that_says_so_is_obeyed():
    """H12: what a header says about retrying stands."""
    value = EMPTY_ACCOUNTS["OpenAI"]
    assert refused(429, value, {"x-should-retry": "true"}).retryable is True


@pytest.mark.parametrize(
    ("value", "retryable"),
    [
        ({"type": "INVALID_REQUEST_ERROR"}, False),
        ({"code": None, "type": "invalid-request-error"}, False),
        ({"code": "x", "type": "authentication_error"}, False),
        ({"code": "x", "type": "PermissionDenied"}, False),
        ({"code": 500, "type": "invalid_request_error"}, True),
        ({"code": 400, "type": "server_error"}, False),
        ({"code": "server_error", "type": "x"}, True),
    ],
)
def test_codes_and_types_count_both(value, retryable):
    """Inside an answer the code and the type tell, in any spelling; an HTTP status tells first."""
    assert upstream_error({"error": {"message": "m", **value}}).retryable is retryable


# --- whether it is an error ----------------------------------------------------------------------

ERRORS = [
    {"error": {"message": "m"}},
    {"error": "m"},
    {"error": True},
    {"error": [{"message": "m"}]},
    {"error": {"code": 5}},
    {"error": {"message": "m"}, "choices": [{"index": 0, "delta": {"content": "a"}}]},
    {"object": "error", "message": "m"},
    {"type": "error", "message": "m"},
    {"type": "error"},
    {"type": "server_error", "message": "m"},
    {"code": 50505, "message": "Model service overloaded.", "data": None},
    {"code": "50505", "message": "m"},
    {"code": 500, "msg": "m"},
    {"code": -1, "msg": "m", "data": {}},
    {"code": 1, "message": "no"},
    {"code": "InvalidApiKey", "message": "m", "request_id": "r"},
    {"status": "439", "msg": "Your API Token has expired.", "body": None},
    {"status": 500, "error": "Internal Server Error", "path": "/v1"},
    {"status": 503},
    {"status": "error", "message": "m"},
    {"status": "failed", "reason": "m"},
    {"statusCode": 429, "message": ["m", "n"]},
    {"detail": "Not authenticated"},
    {"detail": [{"loc": ["body"], "msg": "m"}]},
    {"success": False, "message": "m"},
    {"success": False},
    {"success": "false", "data": None},
    {"ok": False, "description": "m"},
    {"Successful": False},
    {"errors": [{"message": "m"}], "data": None},
    {"errors": ["m"]},
    {"fault": {"faultstring": "m"}},
    {"message": "Endpoint request timed out"},
    {"Message": "m"},
    {"message": "m", "choices": []},
    {"message": "m", "choices": None, "usage": None},
    {"type": "about:blank", "title": "Forbidden", "status": 403, "detail": "m"},
    {"error_code": 336003, "error_msg": "m"},
    {"base_resp": {"status_code": 1008, "status_msg": "m"}},
    {"base_resp": {"status_code": "1002"}, "choices": [{"delta": {}}]},
    {"base_resp": [{"status_code": 1002}], "choices": None},
]
NO_ERRORS = [
    {},
    {"choices": []},
    {"choices": [{"index": 0, "delta": {"content": "a"}}], "error": None},
    {"choices": [{"index": 0}], "error": {}, "code": 0, "message": "success"},
    {"choices": [{"index": 0}], "error": {"code": 0, "message": "", "param": None}},
    {"choices": [{"index": 0}], "error": [], "success": True},
    {"choices": [{"index": 0}], "error": "null"},
    {"choices": [{"index": 0}], "code": 500, "message": "trace"},
    {"choices": [{"index": 0}], "status": "in_progress", "detail": "d"},
    {"choices": [{"index": 0}], "base_resp": {"status_code": 0, "status_msg": ""}},
    {"choices": [{"index": 0}], "base_resp": {"status_code": "0"}},
    {"choices": [{"index": 0}], "base_resp": None},
    {"choices": {"index": 0}, "detail": "d"},
    {"usage": {"prompt_tokens": 1}, "message": "m", "code": 1},
    {"object": "chat.completion.chunk", "choices": [], "usage": None},
    {"type": "ping"},
    {"type": "ping", "message": "still there"},
    {"type": "status", "status": "searching", "message": "m"},
    {"type": "mcp_tool_result", "name": "clock", "success": False, "result": "no clock"},
    {"code": 0, "message": "success", "data": None},
    {"code": 200, "msg": "ok"},
    {"code": 20000, "message": "OK", "status": True},
    {"status": "ok"},
    {"status": "processing", "progress": 5},
    {"success": True, "message": "m", "data": {"x": 1}, "extra": 1},
    {"message": {"role": "assistant", "content": "hi"}, "done": False},
    {"message": "hi", "model": "m", "created_at": "now"},
    {"conversation_id": "c"},
    {"response": "hi", "p": "abc"},
    {"code": 0},
    {"message": ""},
    {"detail": None},
    {"errors": []},
]


@pytest.mark.parametrize("payload", ERRORS, ids=json.dumps)
def test_errors(payload):
    """E: an error is known in every shape, with the key ``error`` and without it."""
    assert is_error(payload)


@pytest.mark.parametrize("payload", NO_ERRORS, ids=json.dumps)
def test_no_errors(payload):
    """What is good, what is a ping and what says nothing is no error."""
    assert not is_error(payload)


@pytest.mark.parametrize("event", ["error", "Error", "stream_error", "exception", "failure"])
def test_the_event_name_decides(event):
    """E06: an event that is named an error is one, whatever it holds."""
    assert is_error({"choices": [{"index": 0}]}, event)


@pytest.mark.parametrize("event", ["ping", "heartbeat", "status", "progress", "result"])
@pytest.mark.parametrize("payload", [{"message": "m"}, {"detail": "d"}, {"success": False}])
def test_other_events_say_other_things(event, payload):
    """An event with a name of its own is no error for having a message."""
    assert not is_error(payload, event)
    assert is_error({**payload, "error": "m"}, event)


@pytest.mark.parametrize(
    "choice",
    [
        {"error": {"message": "m"}},
        {"error": "m", "delta": {"content": "a"}},
        {"delta": {"error": {"message": "m"}}},
        {"delta": [{"error": {"message": "m"}}]},
        {"message": {"error": {"message": "m"}}},
        {"error": [{"message": "m"}]},
    ],
)
def test_errors_in_choices(choice):
    """An error inside a choice, its delta or its message is found."""
    assert upstream_error(error_in_choice(choice)).message == "m"


@pytest.mark.parametrize(
    "choice",
    [{}, {"error": None}, {"error": {"code": 0}}, {"delta": {"error": ""}}, {"delta": "a"}],
)
def test_no_errors_in_choices(choice):
    """What servers fill in for no error is none."""
    assert error_in_choice(choice) is None
