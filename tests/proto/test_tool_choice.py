"""What ``tool_choice`` may be: a choice that can bind to nothing is refused, with its place."""

import pytest

import inferd_engine as ie

HELLO = ie.user("hello")
TOOLS = (ie.Tool("f"), ie.Tool("g"))


def named(name):
    """Give OpenAI's object that names a tool."""
    return {"type": "function", "function": {"name": name}}


def allowed(*names):
    """Give OpenAI's object that allows some tools."""
    tools = [named(name) for name in names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": tools}}


def refusal(choice, tools):
    """Give the message with which a choice is refused."""
    with pytest.raises(ie.InvalidRequestError) as caught:
        ie.RequestV2([HELLO], tools=tools, tool_choice=choice).resolve()
    return str(caught.value)


@pytest.mark.parametrize(
    "choice",
    [
        None,
        "auto",
        "none",
        "required",
        "any",
        "f",
        "g",
        named("f"),
        {"type": "function", "name": "g"},
        {"type": "tool", "name": "g"},
        {"type": "auto"},
        {"type": "any"},
        allowed("f", "g"),
        {"type": "a kind that comes next year"},
    ],
)
def test_choices_that_bind(choice):
    """A word, a tool's name, or an object that names tools of the request is taken."""
    request = ie.RequestV2([HELLO], tools=TOOLS, tool_choice=choice)
    assert request.resolve().tool_choice == choice


@pytest.mark.parametrize("choice", [None, "auto", "none", {"type": "auto"}, {"type": "none"}])
def test_choices_that_need_no_tool(choice):
    """What forces no call may be said without tools."""
    ie.RequestV2([HELLO], tool_choice=choice).resolve()


@pytest.mark.parametrize(
    "choice",
    [
        "required",
        "any",
        "f",
        "",
        named("f"),
        allowed("f"),
        {"type": "any"},
        {"type": "tool", "name": "f"},
        {"type": "custom", "custom": {"name": "c"}},
        {},
    ],
)
def test_a_choice_without_tools_is_refused(choice):
    """What forces a call is refused where there are no tools: it would silently do nothing."""
    said = refusal(choice, ())
    assert said.startswith(f"tool_choice is {choice!r}, but there are no tools: ")
    assert "extra_body" in said


@pytest.mark.parametrize(
    ("choice", "name"),
    [
        ("h", "h"),
        ("F", "F"),
        ("", ""),
        (named("h"), "h"),
        (named(5), 5),
        ({"type": "function", "name": "h"}, "h"),
        ({"type": "tool", "name": "h"}, "h"),
        ({"type": "custom", "custom": {"name": "h"}}, "h"),
        ({"type": "function", "function": "h"}, "h"),
        (allowed("f", "h"), "h"),
    ],
)
def test_a_name_that_is_no_tools_is_refused(choice, name):
    """A name that is not among the tools is refused, and the tools are listed."""
    assert (
        refusal(choice, TOOLS) == f"tool_choice names {name!r}, which is not among the tools: f, g"
    )


@pytest.mark.parametrize("choice", [5, True, ["f"], ("f",), b"f"])
def test_a_choice_of_another_type_is_refused(choice):
    """A choice is a word or an object."""
    assert refusal(choice, TOOLS).startswith(f"tool_choice is {choice!r}: take 'auto', ")


@pytest.mark.parametrize("choice", ["required", "f", named("f"), {"type": "web_search"}, "auto"])
def test_tools_of_extra_body_count(choice):
    """A choice among tools that only ``extra_body`` has is taken, and sent."""
    tools = [{"type": "web_search"}, {"type": "function", "function": {"name": "f"}}]
    request = ie.RequestV2([HELLO], tool_choice=choice, extra_body={"tools": tools})
    config = ie.OpenAiCompatConfig(base_url="http://localhost", api_key="")
    body = ie.request_from_resolved(request.resolve(), config)
    assert body["tools"] == tools
    assert body["tool_choice"] == (named("f") if choice == "f" else choice)


@pytest.mark.parametrize("tools", [None, [], "f", 5, [5, None], [{"function": {"name": 5}}]])
def test_what_extra_body_has_may_be_no_tools(tools):
    """What no tool is in it makes no choice possible, and raises nothing else."""
    request = ie.RequestV2([HELLO], tool_choice="f", extra_body={"tools": tools})
    with pytest.raises(ie.InvalidRequestError, match=r"^tool_choice "):
        request.resolve()


def test_another_name_than_those_of_extra_body():
    """A name that neither tools nor those of ``extra_body`` have is refused."""
    extra = {"tools": [{"type": "function", "function": {"name": "h"}}]}
    request = ie.RequestV2([HELLO], tools=TOOLS, tool_choice="i", extra_body=extra)
    with pytest.raises(ie.InvalidRequestError, match=r"not among the tools: f, g, h$"):
        request.resolve()
