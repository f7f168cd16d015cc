"""Tools: calls whose arguments are valid by construction, and what the model is told of tools."""

from __future__ import annotations

import json

import pytest
from llamacpp.conftest import SETTINGS

import inferd_engine as ie
from inferd_engine.backends.llamacpp.answer import Answer
from inferd_engine.backends.llamacpp.library import AbortFlag, library
from inferd_engine.backends.llamacpp.request import messages_of, words_of
from inferd_engine.backends.llamacpp.sampling import Sampler, Sampling
from inferd_engine.backends.llamacpp.template import rendered
from inferd_engine.backends.llamacpp.tools import grammar_of
from inferd_engine.stream.turn import Bell

CITIES = ["Paris", "Łódź", "東京"]
WEATHER = ie.Tool(
    "get_weather",
    "Look at the sky.",
    {
        "type": "object",
        "properties": {"city": {"enum": CITIES}, "days": {"type": "integer"}},
        "required": ["city", "days"],
    },
)
CLOCK = ie.Tool("clock", "Tell the time.", {})
CALL = '<tool_call>{"name": "clock", "arguments": {"a": 1}}</tool_call>'
KNOWING = (  # as the templates of Qwen and Hermes do it, in short
    "{% if tools %}tools: {% for tool in tools %}{{ tool | tojson }}"
    "{{ '\\n' }}{% endfor %}{% endif %}"
    "{% for m in messages %}{{ m.role }}: {{ m.content }}"
    "{% for call in m.tool_calls %}call {{ call.function.name }} "
    "{{ call.function.arguments | tojson }}{% endfor %}{{ '\n' }}{% endfor %}"
)


@pytest.fixture(scope="module")
def shared(tiny):
    """A backend that is loaded once for all tests of this file."""
    with ie.LlamaCpp(model_path=tiny, **{**SETTINGS, "n_ctx": 2048}) as backend:
        backend.load()
        yield backend


def is_weather(call):
    assert call.name == "get_weather"
    assert set(call.input) == {"city", "days"}
    assert call.input["city"] in CITIES
    assert type(call.input["days"]) is int
    return True


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "choice", ["get_weather", {"type": "function", "function": {"name": "get_weather"}}]
)
def test_a_choice_that_names_a_tool_binds(shared, choice, seed):
    """The tool is called, by a model that says nonsense otherwise, with valid arguments."""
    answer = shared.complete(
        "Well?",
        tools=[CLOCK, WEATHER],
        tool_choice=choice,
        parallel_tool_calls=False,
        seed=seed,
        max_tokens=400,
    )
    assert len(answer.tool_uses) == 1
    assert is_weather(answer.tool_uses[0])
    assert not answer.text
    assert (answer.stop_reason, answer.finish_reason) == (ie.StopReason.TOOL_USE, "tool_calls")


def test_required_calls_any_of_them(shared):
    """One at the least, each with an id of its own."""
    names = set()
    for seed in range(8):
        answer = shared.complete(
            "Well?",
            tools=[WEATHER, ie.Tool("stop", "", {"type": "object", "additionalProperties": False})],
            tool_choice="required",
            temperature=9.0,
            seed=seed,
            max_tokens=400,
        )
        ids = [call.tool_call_id for call in answer.tool_uses]
        assert ids
        assert len(set(ids)) == len(ids)
        names |= {call.name for call in answer.tool_uses}
    assert names == {"get_weather", "stop"}


def test_none_calls_nothing_and_tells_of_nothing(shared):
    """The prompt is that of a request without tools."""
    told = shared.complete("Well?", tools=[WEATHER], tool_choice="none", max_tokens=3)
    assert told.usage.input_tokens == shared.complete("Well?", max_tokens=3).usage.input_tokens


def test_a_call_that_was_cut_is_left_out(shared):
    """Half a call is none, and the answer says that it was cut."""
    answer = shared.complete(
        "Well?", tools=[WEATHER], tool_choice="required", max_tokens=20, seed=1
    )
    assert answer.tool_uses == ()
    assert answer.text == ""
    assert answer.stop_reason is ie.StopReason.MAX_TOKENS


def test_a_free_choice_binds_from_where_a_call_begins(shared):
    """Before that the model writes what it likes; then its call is valid."""
    model = shared._engine.loaded.model
    request = ie.RequestV2([ie.user("Hi")], tools=[WEATHER]).resolve()
    grammar, lazy_from = grammar_of(request, is_inside=False)
    for seed in range(5):
        sampling = Sampling(
            temperature=1, top_p=1, top_k=0, seed=seed, grammar=grammar, lazy_from=lazy_from
        )
        sampler = Sampler(model, sampling)
        begun = "Let me see. <tool_call>"
        slots = shared._engine.loaded.slots
        context = slots._free[0]
        tokens = model.tokenize(begun)
        context.begin(tokens)
        for token in model.tokenize(begun, add_special=False):
            library().llama_sampler_accept(sampler.handle, token)
        answer = Answer(has_tools=True)
        events = answer.push(begun.encode())
        for _ in range(300):
            token = context.compute(tokens, {}, sampler, AbortFlag(), Bell())
            if model.is_end(token):
                break
            events += answer.push(model.piece(token))
            tokens.append(token)
        calls = [event for event in events if event.type == "tool_use"]
        assert calls
        assert all(map(is_weather, calls))
        assert "".join(e.delta for e in events if e.type == "text") == "Let me see. "


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    ("written", "text", "calls"),
    [
        (CALL, "", 1),
        (f"Well. {CALL}\n{CALL}\n", "Well. ", 2),
        (f"a < b {CALL}", "a < b ", 1),
        ("<tool_cal", "<tool_cal", 0),
        ("<tool_call>{}</tool_call> x", "<tool_call>{}</tool_call> x", 0),
        (f"<think>{CALL}</think>\n{CALL}", "", 1),
        (f'{CALL}<tool_call>{{"name": "clo', "", 1),
    ],
)
def test_calls_are_taken_out_of_the_text(written, text, calls, size):
    """At every split; those in a thought are thoughts, and half a call is left out."""
    answer = Answer(split=True, has_tools=True)
    data = written.encode()
    events = [e for i in range(0, len(data), size) for e in answer.push(data[i : i + size])]
    events += answer.end()
    assert "".join(e.delta for e in events if e.type == "text") == text
    uses = [e for e in events if e.type == "tool_use"]
    assert [(use.name, use.input) for use in uses] == [("clock", {"a": 1})] * calls
    assert answer.has_calls == (calls > 0)


CONVERSATION = [
    ie.system("Be brief."),
    ie.user("What time is it?"),
    ie.MessageV2(
        "assistant", [ie.TextBlock("Let me see."), ie.ToolUseBlock("1", "clock", {"a": 1})]
    ),
    ie.tool_result("1", "noon"),
]


def test_a_template_that_knows_tools_is_told_of_them():
    """In the shape that templates expect: arguments are an object."""
    request = ie.RequestV2(CONVERSATION, tools=[CLOCK]).resolve()
    from inferd_engine.backends.llamacpp.template import _as_templates_want

    messages = [_as_templates_want(m) for m in messages_of(request, knows_tools=True)]
    text = rendered(KNOWING, {"messages": messages, **words_of(request)})
    listed, *said = text.splitlines()
    assert json.loads(listed.removeprefix("tools: "))["function"]["name"] == "clock"
    assert said == [
        "system: Be brief.",
        "user: What time is it?",
        'assistant: Let me see.call clock {"a": 1}',
        "tool: noon",
    ]


def test_a_template_that_knows_none_is_told_in_words():
    """In a system message, and the calls and results of the past as texts."""
    request = ie.RequestV2(CONVERSATION, tools=[CLOCK]).resolve()
    messages = messages_of(request, knows_tools=False)
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    assert messages[0]["content"].startswith("Be brief.\n\nYou may call these tools:")
    assert messages[2]["content"] == f"Let me see.{CALL}"
    assert messages[3]["content"] == "<tool_response>noon</tool_response>"


def test_thinking_is_a_word_for_the_template():
    """Under the names that templates know it by."""
    request = ie.RequestV2([ie.user("Hi")], thinking=False).resolve()
    assert words_of(request) == {"enable_thinking": False, "thinking": False}
    assert words_of(ie.RequestV2([ie.user("Hi")]).resolve()) == {}


def test_a_thought_that_the_prompt_has_begun_may_be_thought_to_its_end():
    """Before the format that the answer is held to."""
    wanted = {"type": "json_object"}
    request = ie.RequestV2([ie.user("Hi")], response_format=wanted).resolve()
    assert "</think>" in grammar_of(request, is_inside=True)[0]
    assert "</think>" not in grammar_of(request, is_inside=False)[0]


@pytest.mark.parametrize("wanted", [{"type": "xml"}, {"type": "json_schema"}, {}])
def test_a_format_that_nobody_knows_is_refused(shared, wanted):
    """With what there is."""
    with pytest.raises(ie.InvalidRequestError, match="response_format"):
        shared.complete("Hi", response_format=wanted)
