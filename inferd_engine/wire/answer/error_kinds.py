"""Tell what an error is about: whether asking again may help, and whether it is one at all.

An empty account, a model that does not exist and refused content stay what they are, whatever
status or numbers they come with.  They are known by their words: by every code and type of the
error, in any spelling, and by its message, because gateways number errors as they like.

An object that says neither ``error`` nor ``choices`` may be an error all the same, as frameworks
and gateways write them: ``{"code": 50505, "message": …}``, ``{"detail": …}``, ``{"success":
false}``.  It may be a ping, or an event of another kind, too: those have a type, or say nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from inferd_engine.wire.answer.error_messages import find_codes, find_message
from inferd_engine.wire.text.json_shapes import object_in, objects_in, spelled_alike, whole_number

if TYPE_CHECKING:
    from collections.abc import Mapping

# --- whether it may pass -------------------------------------------------------------------------

_RETRYABLE = frozenset({408, 409, 424, 425, 429})
# Codes and types that stay true, as ``_words`` spells them, and what messages say of the same.
_LASTING = re.compile(
    r"insufficient_(?:quota|balance|fund)|billing|payment_required|arrear|credit|"
    r"(?:account|project|subscription)_\w*(?:deactivated|suspended|inactive|disabled)|"
    r"(?<!request_)(?<!token_)(?<!rate_)quota_exhausted|"
    r"model_(?:not_found|not_exist|does_not_exist|not_supported|invalid)|"
    r"(?:unknown|no_such|invalid|unsupported)_model|deployment_?not_?found|"
    r"context_length|context_window|context_size|"
    r"content_(?:policy|filter|management|moderation)|moderation|responsible_ai|data_inspection|"
    r"prohibited_content|sensitive|safety"
)
_LASTING_MESSAGES = re.compile(
    r"insufficient (?:quota|balance|credit|fund)|credit balance|out of credits|more credits|"
    r"(?:not enough|no|zero) (?:credits|balance)|balance is (?:not enough|insufficient|too low)|"
    r"billing (?:hard limit|cycle)|monthly (?:usage )?limit|spending (?:cap|limit)|"
    r"payment required|arrears|overdue|余额不足|欠费|"
    r"\bmodel\b.{0,200}(?:does(?:n't| not) exist|not found|not exist)|unknown model|no such model|"
    r"not a valid model|模型不存在|"
    r"content (?:policy|management policy|filter)|safety system|flagged|moderation",
    re.DOTALL,
)
# Codes that blame the request; where there is a status, it says so better.
_BLAMING = re.compile(
    r"invalid|bad_request|unprocessable|authentication|unauthorized|permission|forbidden|"
    r"access_denied|api_key|not_found|not_exist|unsupported|not_supported|too_long|too_large|filter"
)
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SEPARATORS = re.compile(r"[^a-z0-9]+")
_LONGEST = 2000  # characters of a message that are looked at


def is_retryable_status(status: int) -> bool:
    """Whether the same request may succeed later, going by the HTTP status alone."""
    return status in _RETRYABLE or status >= 500  # noqa: PLR2004


def is_lasting(value: Any, message: str) -> bool:
    """Whether asking again cannot help: the account is empty, the model unknown, content refused.

    Args:
        value: The decoded error body.
        message: What it says.
    """
    return bool(
        _LASTING.search(_words(value)) or _LASTING_MESSAGES.search(message[:_LONGEST].lower())
    )


def may_pass(value: Any, message: str) -> bool:
    """Whether an error inside an answer may pass: all but those that blame the request."""
    if is_lasting(value, message):
        return False
    for code in find_codes(value):
        if code.isdecimal() and len(code) == 3:  # noqa: PLR2004 - an HTTP status
            return is_retryable_status(int(code))
    return not _BLAMING.search(_words(value))


def _words(value: Any) -> str:
    """Return all codes of an error in one spelling; a label in the place of a message is one."""
    label = object_in(value).get("error")
    codes = [*find_codes(value), label if isinstance(label, str) and " " not in label else ""]
    return " ".join(_SEPARATORS.sub("_", _HUMP.sub("_", code).lower()) for code in codes)


# --- whether it is one ---------------------------------------------------------------------------

_NO_ERRORS = (None, False, "", 0, "0", "null", "none", "None", "false")
_ERROR_WORD = re.compile(
    r"error|fail|exception|invalid|exceeded|overload|denied|unauthorized|forbidden|not_?found",
    re.IGNORECASE,
)
_GOOD_WORDS = ("ok", "success", "succeeded", "successful", "成功", "pong")
_CODES = ("code", "statuscode", "errorcode", "errcode", "retcode")
_SUCCESS = ("success", "successful", "ok", "issuccess")
_MESSAGES = ("message", "msg", "errormessage", "errormsg", "errmsg", "statusmsg", "detail")
# What may stand beside the message of a flat error; with anything else it is something else.
_BESIDE = frozenset(
    {*_MESSAGES, *_CODES, "status", "type", "title", "instance", "timestamp", "time", "path"}
    | {"requestid", "traceid", "logid", "data", "body", "result", "object", "param", "details"}
    | {"choices", "usage"}
)


def is_error(payload: Mapping[str, Any], event: str = "message") -> bool:
    """Whether a payload says that something failed, beside choices or instead of them.

    Args:
        payload: A decoded payload.
        event: The name of its event; one of a name of its own may mean anything.
    """
    if event != "message" and _ERROR_WORD.search(event):
        return True
    error = payload.get("error")
    if (error and says_error(error)) or payload.get("object") == "error":
        return True
    if "base_resp" in payload and _is_bad(object_in(payload["base_resp"]).get("status_code")):
        return True  # MiniMax
    if objects_in(payload.get("choices")) or object_in(payload.get("usage")):
        return False
    return _is_flat_error(spelled_alike(payload), is_plain=event == "message")


def says_error(error: Any) -> bool:
    """Whether the value of ``error`` says that there is one; servers fill it with nothings."""
    if isinstance(error, dict):
        return any(map(says_error, error.values()))
    if isinstance(error, list):
        return any(map(says_error, error))
    return error not in _NO_ERRORS


def _is_flat_error(fields: Mapping[str, Any], *, is_plain: bool) -> bool:
    said = " ".join(find_message(fields.get(name)) for name in _MESSAGES).strip()
    if said.lower() in _GOOD_WORDS:
        return False
    kind = fields.get("type")
    kind = kind if isinstance(kind, str) and not _is_address(kind) else ""
    if _ERROR_WORD.search(kind) or (said and any(_is_bad(fields.get(name)) for name in _CODES)):
        return True
    if kind or not is_plain:
        return False  # a ping, progress, a tool's result
    return (
        any(fields.get(name) in (False, "false") for name in _SUCCESS if name in fields)
        or any(_is_http_error(fields.get(name)) for name in ("status", *_CODES))
        or any(says_error(fields.get(name)) for name in ("errors", "fault", "exception"))
        or (bool(said) and fields.keys() <= _BESIDE)
    )


def _is_bad(code: Any) -> bool:
    """Whether a code beside a message says that something failed."""
    number = whole_number(code)
    if number is not None:
        return number != 0 and not 200 <= number < 300  # noqa: PLR2004 - HTTP
    return isinstance(code, str) and bool(code.strip()) and code.lower() not in _GOOD_WORDS


def _is_http_error(status: Any) -> bool:
    """Whether a status or code says by itself that something failed."""
    number = whole_number(status)
    if number is not None:
        return 400 <= number < 600  # noqa: PLR2004 - HTTP
    return isinstance(status, str) and bool(_ERROR_WORD.search(status))


def _is_address(kind: str) -> bool:
    """Whether a type is the address of a kind of problem (RFC 9457)."""
    return "/" in kind or kind.startswith(("about:", "urn:"))
