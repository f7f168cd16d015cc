"""Answers: llama.cpp's own, whole characters, counted exactly."""

from __future__ import annotations

import itertools

import pytest
from llamacpp.conftest import SETTINGS, forget
from llamacpp.theirs import their_own

import inferd_engine as ie

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def shared(tiny):
    """A backend that is loaded once for all tests of this file."""
    with ie.LlamaCpp(model_path=tiny, **SETTINGS) as backend:
        backend.load()
        yield backend


@pytest.fixture(scope="module")
def reference(tiny):
    """llama-cpp-python's own way to the same model."""
    with their_own(tiny) as model:
        yield model


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.5])
def test_the_text_is_llama_cpps_own(shared, reference, seed, temperature):
    """The same seed and sampling give the same text, token by token."""
    forget(shared)  # what was read in other pieces differs in its last digits
    ours = shared.complete(f"number {seed}", max_tokens=40, temperature=temperature, seed=seed)
    reference.reset()
    reference.set_seed(seed)
    prompt = reference.tokenize(f"user: number {seed}\nassistant:".encode(), special=True)
    tokens = reference.generate(prompt, top_k=64, top_p=0.95, min_p=0.0, temp=temperature)
    theirs = reference.detokenize(list(itertools.islice(tokens, 40)), prev_tokens=prompt)
    assert ours.text == theirs.decode("utf-8", "replace")
    assert (ours.usage.input_tokens, ours.usage.output_tokens) == (len(prompt), 40)
    assert (ours.finish_reason, ours.stop_reason) == ("length", ie.StopReason.MAX_TOKENS)


def test_a_seed_repeats_an_answer_and_none_does_not(shared):
    """The request's own seed, else the configuration's, else a new one each time."""

    def ask(**fields):
        return shared.complete("Hi", max_tokens=30, temperature=1.5, **fields).text

    assert ask(seed=5) == ask(seed=5)
    assert len({ask() for _ in range(4)}) > 1
    fixed = shared.with_options(seed=5)
    assert fixed.complete("Hi", max_tokens=30, temperature=1.5).text == ask(seed=5)


def test_events_are_whole_characters(shared):
    """A character of several tokens comes as one; what is no character is replaced."""
    pieces = list(shared.stream("Hi", max_tokens=300, seed=1).text())
    text = "".join(pieces)
    assert any(len(c.encode()) > 1 for c in text)
    assert all(pieces)
    again = shared.complete("Hi", max_tokens=300, seed=1)
    assert again.text == text


def test_a_stop_sequence_ends_the_answer(shared):
    """It is not in the text, and the reason says so."""
    whole = shared.complete("Hi", max_tokens=40, seed=2).text
    stop = whole[8:11]
    answer = shared.complete("Hi", max_tokens=40, seed=2, stop=[stop])
    assert answer.text == whole[: whole.index(stop)]
    assert answer.stop_reason is ie.StopReason.STOP_SEQUENCE
    assert answer.usage.output_tokens < 40


def test_defaults_are_inferds(shared):
    """1000 tokens at the most, cut by what the context holds."""
    answer = shared.complete("Hi", seed=1)
    assert answer.usage.output_tokens + answer.usage.input_tokens in (512, 513)
    assert answer.stop_reason is ie.StopReason.MAX_TOKENS
    assert shared.config.max_tokens == 1000
    said = {"temperature": 1.0, "top_p": 0.95, "top_k": 64}
    assert shared.complete("Hi", seed=1, **said).text == answer.text
    request = ie.Request([ie.Message("user", "Hi")]).resolve()
    flat = ie.Completion.of(shared.with_options(seed=1).generate(request))
    assert flat.text == answer.text


def test_a_prompt_longer_than_the_context_says_both_numbers(shared):
    """Before anything is computed."""
    with pytest.raises(ie.InvalidRequestError, match=r"has \d{4} tokens, .* room for 512 "):
        shared.stream("я" * 3000)


def test_v1_is_flat_text(shared):
    """Tokens and Done, with inferd's own defaults."""
    request = ie.Request([ie.Message("user", "Hi")], id="mine", max_tokens=20)
    with shared.with_options(seed=4).generate(request.resolve()) as stream:
        events = list(stream)
    assert stream.request_id == "mine"
    assert {event.type for event in events[:-1]} == {"token"}
    assert events[-1].usage.output_tokens == 20
    same = shared.complete("Hi", seed=4, max_tokens=20)
    assert "".join(event.text for event in events[:-1]) == same.text


@pytest.mark.parametrize("word", ["yes", "no", "я", "語"])
def test_v1_keeps_to_its_grammar(shared, word):
    """GBNF: nothing else comes, whatever the model wants to say."""
    request = ie.Request([ie.Message("user", "Hi")], grammar=f'root ::= "{word}"+ "."')
    answer = ie.Completion.of(shared.generate(request.resolve()))
    assert answer.text.replace(word, "") in (".", "")


@pytest.mark.parametrize(
    "grammar", ["root ::= (", 'rot ::= "a"', 'root ::= root "a"', "root ::= [", "\0"]
)
def test_a_grammar_that_does_not_parse_is_refused(shared, grammar):
    """By the call, and the next one is right."""
    request = ie.Request([ie.Message("user", "Hi")], grammar=grammar).resolve()
    with pytest.raises(ie.InvalidRequestError, match="grammar"):
        shared.generate(request)
    assert shared.complete("Hi", max_tokens=2).usage.output_tokens == 2


def test_a_template_may_be_given(tiny):
    """One of the caller's own, or one of llama.cpp's by name: the same text."""
    by_name = ie.LlamaCpp(model_path=tiny, chat_format="chatml", **SETTINGS)
    by_text = by_name.with_options(chat_format=None, chat_template=CHATML)
    asked = [ie.system("Be brief."), ie.user("Hi")]
    with by_name, by_text:
        answers = [b.complete(asked, max_tokens=9, seed=1) for b in (by_name, by_text)]
    assert answers[0].text == answers[1].text
    assert answers[0].usage.input_tokens == answers[1].usage.input_tokens


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"chat_template": "{% for %}"}, "TemplateSyntaxError"),
        ({"chat_template": "{{ raise_exception('no system here') }}"}, "no system here"),
        ({"chat_template": "{{ messages[9].content }}"}, "UndefinedError"),
        ({"chat_template": "{{ ''.__class__.__mro__[1].__subclasses__() }}"}, "SecurityError"),
        ({"chat_template": "{{ 1 / 0 }}"}, "ZeroDivisionError"),
        ({"chat_format": "chatmel"}, "chat_format is 'chatmel'"),
    ],
    ids=lambda value: None if isinstance(value, dict) else value,
)
def test_a_template_that_fails_is_told(shared, fields, said):
    """Whatever it raises; and it is kept in a sandbox."""
    with pytest.raises(ie.InvalidRequestError, match=said):
        shared.with_options(**fields).complete("Hi")


def test_thoughts_are_split_by_the_templates_tags(shared):
    """A prompt that ends inside of a thought says so by itself."""
    template = "{{ messages[-1].content }}<think>\n"
    thinking = shared.with_options(chat_template=template)
    answer = thinking.complete("Hi", max_tokens=20, seed=1)
    assert answer.thinking
    assert not answer.text
    plain = thinking.with_options(split_think_tags=False)
    assert plain.complete("Hi", max_tokens=20, seed=1).text == answer.thinking


def test_images_are_refused_by_their_place(shared):
    """Until a projector can be given."""
    image = ie.ImageAttachment.at("sky", "https://example.com/sky.png")
    with pytest.raises(ie.AttachmentUnsupportedError, match="messages"):
        shared.complete("What is this?", attachments=[image])


def test_the_second_turn_reads_its_new_words_alone(shared):
    """What the first left in the context is kept, and the answer is the same as without."""
    first = shared.complete("one " * 40, max_tokens=8, temperature=0)
    history = [ie.user("one " * 40), first.to_message(), ie.user("two")]
    again = shared.complete(history, max_tokens=8, temperature=0)
    cached = again.usage.details["prompt_tokens_details"]["cached_tokens"]
    assert cached >= first.usage.input_tokens
    fresh = ie.LlamaCpp(shared.config)
    with fresh:
        assert fresh.complete(history, max_tokens=8, temperature=0).text == again.text
