"""What an upstream says is wrong, in whatever shape it says it."""

import json
import math

import pytest

from inferd_engine.errors import HttpStatusError, UpstreamError
from inferd_engine.wire.answer.error_kinds import is_retryable_status
from inferd_engine.wire.answer.error_messages import find_message
from inferd_engine.wire.answer.errors import html_title, http_error, read_error_body, upstream_error
from inferd_engine.wire.http.headers import request_id_of, retry_after
from inferd_engine.wire.text.printable import printable


def refused(status=400, body=b"", headers=None, hint="", own_id=""):
    """Make the error for an answer with this status."""
    return http_error(status, headers or {}, body, place="http://host/v1", hint=hint, own_id=own_id)


# --- the message ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "message"),
    [
        pytest.param({"error": {"message": "m", "type": "t", "code": None}}, "m", id="H01"),
        pytest.param({"error": "Unauthorized"}, "Unauthorized", id="H02"),
        pytest.param({"object": "error", "message": "m", "code": 404}, "m", id="H03"),
        pytest.param({"detail": "Not Found"}, "Not Found", id="H04 text"),
        pytest.param(
            {"detail": [{"loc": ["body"], "msg": "one"}, {"msg": "two"}]},
            "body: one; two",
            id="H04 list",
        ),
        pytest.param(
            {"object": "error", "message": {"detail": [{"msg": "extra input"}]}},
            "extra input",
            id="H05",
        ),
        pytest.param({"message": "m", "type": "t", "param": "p", "code": "c"}, "m", id="H06"),
        pytest.param([{"error": {"code": 429, "message": "quota"}}], "quota", id="H07"),
        pytest.param(
            {"error": {"message": "Provider returned error", "metadata": {"raw": "too long"}}},
            "Provider returned error: too long",
            id="H13 raw",
        ),
        pytest.param(
            {"error": {"message": "it is too long", "metadata": {"raw": "too long"}}},
            "it is too long",
            id="H13 raw is there already",
        ),
        pytest.param({"error": {"message": "m", "metadata": {"raw": {}}}}, "m", id="H13 object"),
        pytest.param({"error": {"message": "m", "metadata": None}}, "m", id="H13 null"),
        pytest.param(
            {"error": {"message": "no call", "failed_generation": "<tool>"}},
            "no call: <tool>",
            id="E04",
        ),
        pytest.param({"error": {"message": "m", "failed_generation": ""}}, "m", id="E04 empty"),
        pytest.param({"error": {"message": "m"}, "message": "m"}, "m", id="E05"),
        pytest.param({"error": "text", "error_type": "generation"}, "text", id="E11, H15"),
        pytest.param({"fault": {"faultstring": "policy"}}, "policy", id="H16"),
        pytest.param({"errors": ["one", {"reason": "two"}]}, "one; two", id="list of errors"),
        pytest.param({"error": None, "message": "", "detail": "d"}, "d", id="empty ones skipped"),
        pytest.param({"error": {"code": 5}, "detail": "d"}, "d", id="no words in the first"),
        pytest.param("  words \n", "words", id="text"),
        pytest.param({}, "", id="nothing"),
        pytest.param({"error": {}}, "", id="empty error"),
        pytest.param({"error": True}, "", id="no words"),
        pytest.param(None, "", id="null"),
        pytest.param(5, "", id="number"),
    ],
)
def test_find_message(value, message):
    """The message is found in every shape in which an upstream is known to send one."""
    assert find_message(value) == message


def test_find_message_looks_at_few_items():
    """Of a long list of errors the first five are told."""
    assert find_message([str(number) for number in range(1000)]) == "0; 1; 2; 3; 4"


def test_find_message_does_not_look_deep():
    """An error nested more deeply than people write has no message."""
    value = "m"
    for _ in range(8):
        value = {"error": value}
    assert find_message(value) == "m"
    assert find_message({"error": value}) == ""


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"error": {"message": "m"}}', "m"),
        ('{"error": {"message": "a\nb"}}', "a\nb"),
        ("404 page not found\n", "404 page not found"),
        ("", ""),
        ("{cut", "{cut"),
        ("[" * 30_000, "[" * 30_000),
        ('"words"', "words"),
        ("<!DOCTYPE html><title>Bad gateway</title> 1.2.3.4", "HTML page: Bad gateway"),
        ("\n <html><head><TITLE lang=en>502 &amp; so\n</TITLE>", "HTML page: 502 & so"),
        ("<!-- a --><body>1.2.3.4</body>", "HTML page"),
        ("<error>xml</error>", "<error>xml</error>"),
    ],
)
def test_message_of_body(body, message):
    """H09, H11: plain text is the message itself, a page is its title alone, JSON is searched."""
    assert read_error_body(body)[0] == message


@pytest.mark.parametrize(
    ("page", "title"),
    [
        ("<title>a</title><title>b</title>", "HTML page: a"),
        ("<title></title>", "HTML page: "),
        ("<title>cut", "HTML page"),
        ("<titles>a</titles>", "HTML page"),
        ("no page", "HTML page"),
    ],
)
def test_html_title(page, title):
    """A page is shown by its first title, if it has one."""
    assert html_title(page).strip() == title.strip()


@pytest.mark.parametrize("opening", ["<title>", "<title", "<title ", "<title>a<"])
def test_a_page_of_open_titles_ends(opening):
    """A page made of titles without end is searched once, not once for each of them."""
    assert html_title(opening * 200_000) == "HTML page"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (" a \n", "a"),
        ("a\x00\x1b[31mb\r\nc\x7f\x85d", "a [31mb c d"),
        ("a\u202eb\u2066c\u200ed\u061ce", "a b c d e"),
        ("é \U0001f600", "é \U0001f600"),
        ("", ""),
    ],
)
def test_printable(text, shown):
    """Somebody else's text is shown without control characters and without turned directions."""
    assert printable(text) == shown


@pytest.mark.parametrize(("length", "shown"), [(10, "x" * 10), (11, "x" * 9 + "…")])
def test_printable_is_not_long(length, shown):
    """Text over the limit is cut to it, with an ellipsis as its last character."""
    assert printable("x" * length, 10) == shown


# --- errors inside an answer ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "code"),
    [
        pytest.param({"error": {"code": "c", "type": "t"}}, "c", id="code before type"),
        pytest.param({"error": {"message": "m", "type": "server_error"}}, "server_error", id="E01"),
        pytest.param({"error": {"code": 500, "param": None}}, "500", id="E02"),
        pytest.param({"object": "error", "code": 404}, "404", id="E02 flat"),
        pytest.param({"error": {"code": 502}, "choices": []}, "502", id="E03"),
        pytest.param({"error": {"code": None, "status_code": 400}}, "400", id="E04"),
        pytest.param({"error": {"http_status_code": 422}}, "422", id="E10"),
        pytest.param({"error": "text", "error_type": "generation"}, "generation", id="E11"),
        pytest.param({"error": {"type": "None", "code": "500"}}, "500", id="E12"),
        pytest.param([{"error": {"status": "EXHAUSTED"}}], "EXHAUSTED", id="H07"),
        pytest.param({"error": {"code": True, "type": ["x"]}}, None, id="no words"),
        pytest.param({"error": "text"}, None, id="none"),
        pytest.param([], None, id="empty list"),
        pytest.param("words", None, id="text"),
    ],
)
def test_code(value, code):
    """The code is the first of the known fields that holds a word or a number, as text."""
    assert upstream_error(value).code == code


def test_upstream_error():
    """The error holds the upstream's own words, and shows them without control characters."""
    error = upstream_error({"error": {"message": "no\nmemory"}}, request_id="r1")
    assert type(error) is UpstreamError
    assert error.message == "no\nmemory"
    assert str(error) == "the upstream reported an error: no memory"
    assert error.request_id == "r1"


def test_upstream_error_without_words():
    """An error object that says nothing is still told."""
    error = upstream_error({"error": {"code": 5}})
    assert error.message == "the upstream reported an error without a message"


@pytest.mark.parametrize(
    ("code", "retryable"),
    [
        (None, True),
        ("server_error", True),
        ("rate_limit_exceeded", True),
        (500, True),
        ("503", True),
        (429, True),
        (400, False),
        ("402", False),
        (403, False),
        ("invalid_request_error", False),
        ("context_length_exceeded", False),
        ("content_filter", False),
        (1000, True),
        ("²²²", True),
    ],
)
def test_errors_that_may_pass(code, retryable):
    """An error inside an answer may pass, but for those that blame the request."""
    assert upstream_error({"error": {"message": "m", "code": code}}).retryable is retryable


# --- errors by status ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        *[(status, True) for status in (408, 409, 424, 425, 429, 500, 502, 503, 520, 524, 529)],
        *[(status, False) for status in (301, 400, 401, 402, 403, 404, 405, 413, 422, 451)],
    ],
)
def test_statuses_that_may_pass(status, retryable):
    """H11, H13, H15: what the upstream is to blame for may pass, what the request is may not."""
    assert is_retryable_status(status) is retryable
    assert refused(status).retryable is retryable


@pytest.mark.parametrize(
    ("said", "status", "retryable"),
    [
        ("true", 400, True),
        ("True", 400, True),
        ("false", 503, False),
        ("FALSE", 429, False),
        ("perhaps", 503, True),
        ("", 400, False),
    ],
)
def test_x_should_retry_is_obeyed(said, status, retryable):
    """H12: what the upstream says about retrying wins over its status."""
    assert refused(status, headers={"x-should-retry": said}).retryable is retryable


NOW = 1_000_000_000.0  # Sun, 09 Sep 2001 01:46:40 GMT


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "7.66"}, 7.66),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"llm_provider-retry-after": "7"}, 7.0),
        ({"llm_provider-retry-after": "7", "retry-after": "9"}, 9.0),
        ({"retry-after": "Sun, 09 Sep 2001 01:47:00 GMT"}, 20.0),
        ({"retry-after": "Sun, 09 Sep 2001 01:46:00 GMT"}, 0.0),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after": "1e9"}, 86400.0),
        ({"retry-after": "inf"}, 86400.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "Sun, 99 Sep 2001 01:46:00 GMT"}, None),
        ({"x-ratelimit-reset-requests": "2m59.56s"}, None),
    ],
)
def test_retry_after(headers, seconds):
    """H12: milliseconds, then seconds, then a date; at most a day, and never below zero."""
    found = retry_after(headers, NOW)
    assert found is seconds if seconds is None else math.isclose(found, seconds)


@pytest.mark.parametrize(
    ("headers", "own", "found"),
    [
        ({"x-request-id": "a", "request-id": "b"}, "mine", "a"),
        ({"request-id": "b"}, "mine", "b"),
        ({"x-request-id": ""}, "mine", "mine"),
        ({}, "mine", "mine"),
        ({}, "", None),
    ],
)
def test_request_id(headers, own, found):
    """The upstream's id of the request comes before the caller's own."""
    assert request_id_of(headers, own) == found


def test_http_error():
    """The error holds all that is known of the answer."""
    headers = {"x-request-id": "r1", "retry-after": "3"}
    body = json.dumps({"error": {"message": "slow\ndown"}}).encode()
    error = refused(429, body, headers, own_id="mine")
    assert type(error) is HttpStatusError
    assert str(error) == "the upstream answered 429 to http://host/v1: slow down"
    assert (error.status, error.body, error.message) == (429, body.decode(), "slow\ndown")
    assert (error.headers, error.retry_after, error.request_id) == (headers, 3.0, "r1")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"error": {"message": "m", "code": "content_filter"}}', "content_filter"),
        (b'[{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}]', "429"),
        (b'{"error": "m", "error_type": "overloaded"}', "overloaded"),
        (b'{"error": "m"}', None),
        (b"plain", None),
    ],
)
def test_http_error_has_the_upstreams_code(body, code):
    """H01, H14: the upstream's code, or its type, is there to act on."""
    assert refused(400, body).code == code


def test_http_error_with_a_hint():
    """The next step stands at the end of the message; without a body there is no more."""
    assert str(refused(404, hint="add /v1")).endswith("answered 404 to http://host/v1 (add /v1)")
    assert refused(404, own_id="mine").request_id == "mine"


def test_the_message_is_found_beyond_the_shown_body():
    """The message is looked for in all that was read, of which the first 4 KiB are shown."""
    body = json.dumps({"padding": "x" * 50_000, "error": {"message": "late"}}).encode()
    error = refused(body=body)
    assert error.message == "late"
    assert error.body == body[:4096].decode()


@pytest.mark.parametrize("offset", range(4))
def test_the_shown_body_is_cut_between_characters(offset):
    """The shown body ends with a whole character."""
    body = (b"x" * offset + "\U0001f600".encode() * 2000)[:65536]
    error = refused(body=body)
    assert len(error.body.encode()) <= 4096
    assert len(error.body.encode()) > 4096 - 4
    assert "\ufffd" not in error.body


def test_a_body_that_is_no_utf8():
    """Bytes that are no UTF-8 are replaced in body and message."""
    error = refused(body=b"caf\xe9!")
    assert error.body == error.message == "caf\ufffd!"


def test_a_long_message_is_shortened_in_the_text():
    """The text of the error shows the beginning of a long message; the attribute has all."""
    error = refused(body=b"x" * 5000)
    assert len(str(error)) < 600
    assert error.message == "x" * 5000
