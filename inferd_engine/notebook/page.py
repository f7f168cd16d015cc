"""How an answer looks in a notebook, and where it is printed: a value in, Markdown or text out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, get_args

import attrs

import inferd_engine as ie
from inferd_engine.cli.terminal import printable_text
from inferd_engine.notebook.safe_markdown import literal, safe_markdown

if TYPE_CHECKING:
    from collections.abc import Mapping

Fold = Literal["folded", "open", "hidden"]

_ORDINARY = (ie.StopReason.END_TURN, ie.StopReason.TOOL_USE, ie.StopReason.STOP_SEQUENCE)
_LINE = 80  # characters of a tool call that is shown on one line
_CLEAR = 0.05  # seconds: in less than that nothing can be told about a rate


@attrs.frozen
class Look:
    """How an answer is to look.

    Args:
        thinking: The thoughts: ``"folded"`` (a click shows them), ``"open"`` or ``"hidden"``.
        plain: Text as it is, instead of Markdown.
        trust: Let Markdown load images and run what is in it.
    """

    thinking: Fold = attrs.field(default="folded")
    plain: bool = attrs.field(default=False)
    trust: bool = attrs.field(default=False)

    @thinking.validator
    def _check_thinking(self, _: object, value: object) -> None:
        if value not in get_args(Fold):
            raise ValueError(f'thinking is "folded", "open" or "hidden", not {value!r}')

    @plain.validator
    @trust.validator
    def _check_switch(self, field: Any, value: object) -> None:
        if not isinstance(value, bool):  # "no" is true
            raise TypeError(f"{field.name} is True or False, not {value!r}")

    def bundle(self, answer: ie.Completion, *below: str) -> Mapping[str, str]:
        """Return what a front end is given, by MIME type: an answer, and lines below it."""
        text = {"text/plain": self.text(answer, *below)}
        return text if self.plain else {"text/markdown": self.markdown(answer, *below), **text}

    def markdown(self, answer: ie.Completion, *below: str) -> str:
        """Return an answer as Markdown, and lines below it."""
        said = answer.text if self.trust else safe_markdown(answer.text)
        calls = map(_call_in_markdown, answer.tool_uses)
        lines = (f"*{safe_markdown(line)}*" for line in below if line)
        return "\n\n".join(filter(None, [self._fold(answer.thinking), said, *calls, *lines]))

    def _fold(self, thinking: str) -> str:
        if not thinking or self.thinking == "hidden":
            return ""
        state = " open" if self.thinking == "open" else ""
        return (
            f"<details{state}><summary>Thinking ({len(thinking):,} characters)</summary>"
            f'<pre style="white-space: pre-wrap">{literal(thinking)}</pre></details>'
        )

    def text(self, answer: ie.Completion, *below: str) -> str:
        """Return an answer as text without control characters, and lines below it."""
        calls = map(call_text, answer.tool_uses)
        lines = (f"[{line}]" for line in below if line)
        parts = [self.thoughts(answer.thinking), answer.text, *calls, *lines]
        return printable_text("\n\n".join(filter(None, parts)))

    def thoughts(self, thinking: str) -> str:
        """Return the thoughts as text; folded, where nothing can be unfolded, how long they are."""
        if not thinking or self.thinking == "hidden":
            return ""
        if self.thinking == "open":
            return f"[thinking]\n{thinking}\n[/thinking]"
        return f"[thinking: {len(thinking):,} characters]"


def call_text(call: ie.ToolUse) -> str:
    """Return a tool call as Python would write it."""
    given = call.input
    named = isinstance(given, dict) and all(str(name).isidentifier() for name in given)
    values = [f"{name}={value!r}" for name, value in given.items()] if named else [repr(given)]
    line = f"{call.name}({', '.join(values)})"
    if len(line) <= _LINE:
        return line
    return "\n".join([f"{call.name}(", *(f"    {value}," for value in values), ")"])


def _call_in_markdown(call: ie.ToolUse) -> str:
    text = call_text(call)
    marks = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    if "\n" not in text:
        return safe_markdown(f"{marks}{text}{marks}")
    fence = marks.ljust(3, "`")
    return safe_markdown(f"{fence}python\n{text}\n{fence}")


def numbers(usage: ie.Usage | None, stats: ie.StreamStats | None) -> list[str]:
    """Return what is known of tokens, of the time to the first of them, and of their rate."""
    known = []
    tokens = None if usage is None else usage.output_tokens
    if usage is not None and tokens is not None:
        prompt = "" if usage.input_tokens is None else f" (prompt: {usage.input_tokens:,})"
        known.append(f"{tokens:,} token{'' if tokens == 1 else 's'}{prompt}")
    if stats is not None and stats.ttft is not None:
        known.append(f"first token after {stats.ttft:.2f} s")
        seconds = stats.duration - stats.ttft
        if seconds < _CLEAR:
            seconds = stats.duration
        if tokens and seconds > 0:
            known.append(f"{tokens / seconds:,.1f} tokens/s")
    return known


def footer(usage: ie.Usage | None, stats: ie.StreamStats | None, ended: str) -> str:
    """Return the line below an answer."""
    return " · ".join([*numbers(usage, stats), ended])


def markdown_of(answer: ie.Completion) -> str:
    """Return what a notebook shows of an answer that it is given as a value."""
    if answer.stats is None and answer.stop_reason in _ORDINARY:
        return Look().markdown(answer)
    return Look().markdown(
        answer, footer(answer.usage, answer.stats, str(answer.stop_reason or "cut"))
    )
