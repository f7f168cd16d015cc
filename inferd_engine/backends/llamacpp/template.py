"""A conversation as the one text that the model reads: its chat template, in Jinja.

A template is a program that came with the model, from somewhere: it runs in Jinja's sandbox, and
whatever it raises is told.  Templates are written for the names that Hugging Face's transformers
give them (``transformers.utils.chat_template_utils``).
"""

from __future__ import annotations

import ctypes
import functools
import json
import time
from typing import TYPE_CHECKING, Any, NoReturn

from inferd_engine.backends.llamacpp.library import library
from inferd_engine.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inferd_engine.backends.llamacpp.model import Model


class TemplateError(ValueError):
    """A template has refused the conversation."""


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _to_json(value: Any, indent: int | None = None, **_: Any) -> str:
    """Write JSON as it is: Jinja's own filter escapes it for HTML."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


@functools.lru_cache(maxsize=8)  # a model has one; to compile it takes longer than to open a stream
def _compiled(source: str) -> Any:  # jinja2.Template
    from jinja2.ext import loopcontrols  # noqa: PLC0415 - llama-cpp-python brings it
    from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: PLC0415 - likewise

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = time.strftime
    return environment.from_string(source)


def rendered(source: str, words: Mapping[str, Any]) -> str:
    """Return what a template makes of these words.

    Raises:
        InvalidRequestError: It does not parse, or fails.
    """
    from jinja2 import TemplateError as JinjaError  # noqa: PLC0415 - llama-cpp-python brings it

    try:
        return str(_compiled(source).render(**words))
    except (JinjaError, ValueError, TypeError, LookupError, ArithmeticError) as error:
        raise InvalidRequestError(
            f"the chat template fails on these messages: {type(error).__name__}: {error}"
        ) from None


def prompt_from(
    model: Model,
    messages: Sequence[Mapping[str, Any]],
    *,
    template: str | None = None,
    chat_format: str | None = None,
    **words: Any,  # for the template
) -> str:
    """Return the text that the model reads.

    Args:
        model: Whose template it is, where none is given.
        messages: In OpenAI's shape.
        template: One of the caller's own.
        chat_format: The name of one of llama.cpp's.
        words: Further names for the template: ``tools``, ``enable_thinking``, ….

    Raises:
        InvalidRequestError: There is no template, or it fails.
    """
    if chat_format is not None and template is None:
        return _formatted(chat_format, messages)
    source = template if template is not None else model.template
    if source is None:
        raise InvalidRequestError(
            "the model has no chat template: give chat_format='chatml', say, or chat_template"
        )
    known = {
        "messages": [_as_templates_want(message) for message in messages],
        "add_generation_prompt": True,
        "bos_token": model.begin,
        "eos_token": model.end,
    }
    return rendered(source, {**known, **words})


def knows_tools(model: Model, template: str | None, chat_format: str | None) -> bool:
    """Whether a template says something of tools; llama.cpp's own formats do not."""
    if template is None:
        template = None if chat_format is not None else model.template
    return "tools" in (template or "")


def tokens_of(model: Model, prompt: str) -> list[int]:
    """Return the tokens of a prompt, with one that begins it: the template's, or the model's."""
    return model.tokenize(prompt, add_special=not has_begin(model, prompt))


def has_begin(model: Model, prompt: str) -> bool:
    """Whether a prompt has the token already that begins every one."""
    return bool(model.begin) and prompt.startswith(model.begin)


def _as_templates_want(message: Mapping[str, Any]) -> dict[str, Any]:
    """Give a message with its calls' arguments as objects, and its text as a str."""
    wanted = {**message, "content": message.get("content") or ""}
    calls = message.get("tool_calls")
    if calls:
        wanted["tool_calls"] = [
            {**call, "function": {**function, "arguments": json.loads(function["arguments"])}}
            for call in calls
            for function in [call["function"]]
        ]
    return wanted


def _formatted(name: str, messages: Sequence[Mapping[str, Any]]) -> str:
    """Return what one of llama.cpp's own formats makes of messages."""
    llama = library()
    texts = [
        (str(message["role"]).encode(), (message.get("content") or "").encode("utf-8", "replace"))
        for message in messages
    ]
    chat = (llama.llama_chat_message * len(texts))(
        *(llama.llama_chat_message(role, text) for role, text in texts)
    )
    size = 0
    while True:
        text = ctypes.create_string_buffer(size + 1)
        length = llama.llama_chat_apply_template(
            name.encode(),
            chat,
            len(texts),
            True,  # noqa: FBT003 - C's order
            text,
            size,
        )
        if length < 0:
            raise InvalidRequestError(
                f"chat_format is {name!r}: take one of llama.cpp's, such as 'chatml' or 'llama3'"
            )
        if length <= size:
            return text.raw[:length].decode("utf-8", "replace")
        size = length
