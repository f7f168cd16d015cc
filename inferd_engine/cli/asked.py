"""The options that say how is asked: fields of the request, fields of its body, settings.

``-o key=value`` takes a field of a request (``top_p``, ``seed``, ``thinking``, …), a setting of the
upstream that an error may ask for (``include_usage``, ``thinking_style``, …), and sends whatever
else it is given as a field of the body, as it is: upstreams have words of their own.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import attrs

import inferd_engine as ie
from inferd_engine.cli.options import key_and_value
from inferd_engine.cli.terminal import say

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

# What a preset fills in, and the clocks; where the upstream is and what it is asked are options.
_SETTINGS = (
    *("connect_timeout", "first_token_timeout", "idle_timeout", "timeout"),
    *("max_tokens_field", "include_usage", "thinking_style", "split_think_tags"),
    *("replay_thinking_as", "short_tool_call_ids", "strict_turns", "tool_name_pattern"),
    *("version", "betas", "cache", "guardrail_id", "guardrail_version"),
)
# What has a place of its own on the command line.
_ELSEWHERE = {
    "model": "--model NAME",
    "system": "--system TEXT",
    "messages": "the words of the prompt",
    "attachments": "--attachment FILE",
    "base_url": "--base-url URL",
    "headers": "--header 'NAME: VALUE'",
    "extra_body": "-o KEY=VALUE for each of its fields",
    "api_key": "--key-from VARIABLE",
    "api_key_variable": "--key-from VARIABLE",
}
_CLOSE = 0.85  # "temprature" is a slip of the pen, "top_a" is a word of some upstreams


@attrs.frozen
class Asked:
    """How is asked.

    Args:
        fields: Fields of ``RequestV2``.
        settings: Fields of the upstream's configuration.
    """

    fields: dict[str, Any]
    settings: dict[str, Any]


def add_request(parser: argparse.ArgumentParser, *, of_many: bool = False) -> None:
    """Add the options that say what is asked, and how.

    Args:
        parser: Of the command.
        of_many: Whether it asks many: what is attached stands with each then, and ``-o`` is the
            command's own.
    """
    asked = parser.add_argument_group("each question" if of_many else "the question")
    asked.add_argument("-s", "--system", metavar="TEXT", help="a system message")
    if not of_many:
        asked.add_argument(
            "-a",
            "--attachment",
            metavar="FILE|URL",
            action="append",
            default=[],
            help="show an image (PNG, JPEG, WebP, GIF), a PDF, or play a sound (WAV, MP3); "
            "- for stdin",
        )
    asked.add_argument("--max-tokens", metavar="N", type=int, help="generate no more than that")
    asked.add_argument("--temperature", metavar="X", type=float, help="0 or more")
    asked.add_argument(
        *(["--option"] if of_many else ["-o", "--option"]),
        metavar="KEY=VALUE",
        action="append",
        default=[],
        type=key_and_value,
        help="any field of the request or of its body: top_p=0.9, seed=7, thinking=low, stop=END",
    )


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add the option for settings alone, where others say what is asked."""
    parser.add_argument(
        "-o",
        "--option",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        type=key_and_value,
        help="a setting of the upstream, or of the model that is run here: n_ctx=4096, "
        "include_usage=false; what is neither goes into the body of every request",
    )


def settings_from(options: argparse.Namespace) -> Asked:
    """Return the settings alone: what is asked, clients say.

    Raises:
        InvalidRequestError: One has a place of its own, or belongs to a request.
    """
    settings: dict[str, Any] = {}
    body: dict[str, Any] = {}
    is_here = options.llamacpp is not None  # such a model has defaults for what requests leave out
    asked = {field.name for field in attrs.fields(ie.RequestV2)} - {"model"}
    for key, value in options.option:
        if key in asked and not is_here:
            raise ie.InvalidRequestError(f"-o {key}=… is a field of a request: clients send it")
        if not is_here:
            _check_place(key)
        if is_here or key in _SETTINGS:
            settings[key] = value
        else:
            _note_if_close(key, _SETTINGS)
            body[key] = value
    if body:
        settings["extra_body"] = body
    return Asked({}, settings)


def asked_from(options: argparse.Namespace) -> Asked:
    """Sort the options into fields of the request, of its body, and settings.

    Raises:
        InvalidRequestError: One has a place of its own on the command line.
    """
    own = {"max_tokens": options.max_tokens, "temperature": options.temperature}
    fields = {name: value for name, value in own.items() if value is not None}
    settings: dict[str, Any] = {}
    body: dict[str, Any] = {}
    known = _request_fields()
    for key, value in options.option:
        _check_place(key)
        if key not in known and key not in _SETTINGS:
            _note_if_close(key, (*known, *_SETTINGS))
            body[key] = value
        else:
            (fields if key in known else settings)[key] = value
    if body:
        settings["extra_body"] = body
    return Asked(fields, settings)


def _check_place(key: str) -> None:
    if key in _ELSEWHERE:
        raise ie.InvalidRequestError(f"-o {key}=… is given as {_ELSEWHERE[key]}")


def _request_fields() -> tuple[str, ...]:
    """Return the fields of a request that a word can hold: tools go into the body as they are."""
    names = (field.name for field in attrs.fields(ie.RequestV2))
    return tuple(name for name in names if name not in _ELSEWHERE and name != "tools")


def _note_if_close(key: str, known: Iterable[str]) -> None:
    close = difflib.get_close_matches(key, known, 1, _CLOSE)
    if close:
        say(f"note: {key} is sent as it is; did you mean {close[0]}?")
