"""Events that are alike but for their text are taken at a glance, and nothing else is."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings, strategies as st

import inferd_engine as ie
from inferd_engine.many.merging.waiter import Waiter, waiter as merging_waiter
from inferd_engine.net.socket_reader import BLOCK, PythonReader, socket_reader
from inferd_engine.wire.answer.likeness import Likeness
from inferd_engine.wire.anthropic.answer import Answer as MessagesAnswer
from inferd_engine.wire.openai.answer import Answer
from inferd_engine.wire.sse import IMPLEMENTATIONS
from inferd_engine.wire.sse.alike import ALIKE

ANSWERS = {"chat": Answer, "messages": MessagesAnswer}
SOON = 5.0  # seconds
TEXT = b"@@"  # stands for the text in an event

CHAT = b'data: {"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"@@"}}]}\n\n'
THOUGHT = CHAT.replace(b'"content"', b'"reasoning_content"')
PADDED = CHAT.replace(b"}]}", b'}],"obfuscation":"xY0"}')
MESSAGES = (
    b"event: content_block_delta\n"
    b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"@@"}}\n\n'
)
# What is alike, in each protocol.
ALIKE_EVENTS = {
    "chat": [
        CHAT,
        THOUGHT,
        PADDED,
        CHAT.replace(b"data: ", b"data:"),
        CHAT.replace(b"\n", b"\r\n"),
        CHAT.replace(b":", b": ").replace(b",", b" , "),
        b"event: chunk\n" + CHAT,
        b": comment\n" + CHAT,
        CHAT.replace(b'"choices"', b'\ndata: "choices"'),
        CHAT.replace(b'"content"', b'"content":"twice","content"'),
        CHAT.replace(b'"@@"', b'"@@","role":"assistant","tool_calls":null'),
    ],
    "messages": [
        MESSAGES,
        MESSAGES.replace(b"\n", b"\r\n"),
        MESSAGES.replace(b"event: content_block_delta\n", b""),
        MESSAGES.replace(b"text_delta", b"thinking_delta").replace(b'"text"', b'"thinking"'),
        MESSAGES.replace(b'"index":0', b'"index":1'),
    ],
}
# What differs from these in a way that counts, or is not plain at all.
ODD_EVENTS = {
    "chat": [
        CHAT.replace(b'"content":"@@"', b'"content":"@@","content":"other"'),
        CHAT.replace(b'"content":"@@"', b'"content":"@@","content":"@@"'),
        CHAT.replace(b'"content":"@@"', b'"content":"@@","content":null'),
        CHAT.replace(b'"content":"@@"', b'"content":"a@@","reasoning":"@@b"'),
        CHAT.replace(b'"content":"@@"', b'"reasoning_content":"@@","reasoning":"@@"'),
        CHAT.replace(b'"content":"@@"', b'"tool_calls":[{"function":{"name":"@@"}}]'),
        CHAT.replace(b'"index":0', b'"index":1'),
        CHAT.replace(b'"index":0', b'"index":0,"finish_reason":"stop"'),
        CHAT.replace(b'"index":0', b'"index":0,"index":2'),
        CHAT.replace(b'"id"', b'"usage":{"prompt_tokens":1,"completion_tokens":2},"id"'),
        CHAT.replace(b'"id"', b'"error":{"message":"@@"},"id"'),
        CHAT.replace(b'"m"', b'"@@"'),
        CHAT.replace(b"[{", b'[{"delta":{"content":"other"}},{'),
        CHAT.replace(b"data", b"event: error\ndata"),
        CHAT.replace(b"data", b"id: 7\ndata"),
        CHAT.replace(b"data", b"retry: 7\ndata"),
        CHAT.replace(b"data", b"x"),
        CHAT[:-1],
        b'data: {"error":"@@"}\n\n',
        b"data: [DONE]\n\n",
        b": @@\n\n",
        b"\n",
        b"\r",
        b"\xef\xbb\xbf",
    ],
    "messages": [
        MESSAGES.replace(b'"text":"@@"', b'"text":"@@","text":"other"'),
        MESSAGES.replace(b'"index":0', b'"index":0,"index":2'),
        MESSAGES.replace(b"content_block_delta\n", b"error\n"),
        MESSAGES.replace(b"content_block_delta", b"ping"),
        MESSAGES.replace(b"content_block_delta\n", b"ping\n"),
        MESSAGES.replace(b'{"type"', b'{"type":"ping","type"'),
        MESSAGES.replace(b"text_delta", b"input_json_delta").replace(b'"text"', b'"partial_json"'),
        MESSAGES.replace(b"text_delta", b"signature_delta").replace(b'"text"', b'"signature"'),
        MESSAGES[:-1],
        b'data: {"type":"message_delta","delta":{"stop_reason":"@@"}}\n\n',
        b'data: {"type":"message_stop"}\n\n',
        b"data: [DONE]\n\n",
        b"\n",
    ],
}
# What may stand between quotation marks, and what may not.
BODIES = [
    *(b"", b" the", b"one", b"2", b"twice", b"other", b"\xc3\xa9", b"\xe2\x80\xa8", b"x" * 99),
    *(rb"\n", rb"\"", rb"\\", rb"\u00e9", rb"\ud83d\ude00", rb"\u0000", b"\xf0\x9f\x98\x80"),
    *(
        rb"\ud83d",
        rb"\ude00",
        rb"\x",
        rb"\u12",
        b"\\",
        b'"',
        b'","x":"',
        b'","finish_reason":"stop',
    ),
    *(b"\xff", b"\xed\xa0\xbd", b"\xc3", b"\x00", b"\n", b"\r", b"\t", b"\n\n", b"\x7f"),
    *(b'"}}]}\n\ndata: [DONE]\n\n', b"\\\n", b'\\"}}]}\n\n', b"\\\xc3\xa9", b"@@"),
]


def ahead(sock, chunks):
    """Read as a merge does: what is received by the call that waits is taken after it."""
    reader = socket_reader(sock, chunks)
    waiter, short_way = merging_waiter(), reader.short_way
    waiter.watch(sock.fileno(), reader)

    def short_way_ahead(plain):
        way = short_way(plain)
        waiter.expect(sock.fileno(), way)
        assert waiter.wait(SOON) == [reader]
        assert (way.part.ahead != 0) == (waiter.__class__ is not Waiter)
        waiter.expect(sock.fileno(), None)
        waiter.close()
        return way

    reader.short_way = short_way_ahead
    return reader


# TLS is read by the one in Python.
READERS = {"pure": [PythonReader], "native": [socket_reader, ahead, PythonReader]}


@contextlib.contextmanager
def receiving(reader):
    """Give the way for bytes to come to an answer: off a socket, if it may take them apart there.

    So what the short way takes is tried wherever there is one, and nothing else is.
    """
    upstream, ours = socket.socketpair()

    def receive(answer, data):
        plain = answer.likeness(BLOCK)
        if plain is None or not 0 < len(data) < 60_000:
            return answer.feed(data)
        upstream.sendall(data)
        one = reader(ours, None)
        way = one.short_way(plain)
        said = way.read(0)
        if said is None:
            assert way.has_left
            return answer.feed(one.read(BLOCK, 0))
        assert way.received == way.bytes == len(data)
        assert one.left is None  # a stream that waits keeps none of it
        answer.payloads += way.events
        return answer.add(said)

    with upstream, ours:
        yield receive


def read(kind, reads, implementation, **options):
    """Give all that an answer says of a body that comes in these reads, by whichever reader."""
    # Without a short way the readers are one as good as the other.
    readers = READERS[implementation][: 1 if options.get("include_raw") else None]
    one, *others = [read_by(reader, kind, reads, implementation, **options) for reader in readers]
    assert all(other == one for other in others)
    return one


def read_by(reader, kind, reads, implementation, **options):
    answer = ANSWERS[kind](implementation=implementation, **options)
    with receiving(reader) as receive:
        events = [event for data in reads for event in receive(answer, data)]
    events += answer.end()
    events += [event for event, _ in answer.rest()]
    said = [event for event in events if not isinstance(event, ie.RawChunk)]
    ending = answer.ending
    ending = (type(ending), str(ending)) if isinstance(ending, Exception) else ending
    return said, ending, answer.payloads, answer.skipped, answer.model, answer.state


def cut(body, places):
    """Cut a body at these places."""
    bounds = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    return [body[start:end] for start, end in pairwise(bounds)]


@st.composite
def bodies(draw, kind):
    """Give a body whose events are alike for a while, and broken here and there."""
    body = b""
    for _ in range(draw(st.integers(1, 4))):
        event = draw(st.sampled_from(ALIKE_EVENTS[kind]))
        for _ in range(draw(st.integers(1, 6))):
            text = draw(st.sampled_from(BODIES) | st.text(max_size=4).map(str.encode))
            body += event.replace(TEXT, text)
        if draw(st.booleans()):
            body += draw(st.sampled_from(ODD_EVENTS[kind])).replace(TEXT, b"a")
    for _ in range(draw(st.integers(0, 2))):
        start, size = draw(st.integers(0, len(body))), draw(st.sampled_from([0, 0, 1, 7]))
        body = body[:start] + draw(st.sampled_from(BODIES)) + body[start + size :]
    return body


@pytest.mark.parametrize("kind", ANSWERS)
@given(data=st.data())
@settings(max_examples=120, deadline=None)
def test_at_a_glance_as_at_length(kind, data):
    """Whatever comes, and however it is cut, the answer is that of looking at each event alone."""
    body = data.draw(bodies(kind))
    reads = cut(body, data.draw(st.lists(st.integers(0, 9999), max_size=12)))
    at_length = read(kind, reads, "pure", include_raw=True)
    for implementation in IMPLEMENTATIONS:
        assert read(kind, reads, implementation) == at_length


@pytest.mark.parametrize("text", BODIES, ids=ascii)
@pytest.mark.parametrize("kind", ANSWERS)
def test_every_text_after_every_event(kind, text, implementation):
    """A text that is none, or more than one, is no text of an event like the one before."""
    for event in ALIKE_EVENTS[kind]:
        before = event.replace(TEXT, b"a") * 2
        body = before + event.replace(TEXT, text) + before
        for reads in ([body], cut(body, range(0, len(body), 50)), [before, body]):
            at_length = read(kind, reads, implementation, include_raw=True)
            assert read(kind, reads, implementation) == at_length


@pytest.mark.parametrize("kind", ANSWERS)
def test_every_odd_event_after_every_event(kind, implementation):
    """An event that says something else, or of something else, says it."""
    for event in ALIKE_EVENTS[kind]:
        for odd in ODD_EVENTS[kind]:
            before = event.replace(TEXT, b"a") * 3
            for between in (odd.replace(TEXT, b"a"), odd.replace(TEXT, b"b") * 3):
                for reads in ([before + between + before], [before, between, before]):
                    at_length = read(kind, reads, implementation, include_raw=True)
                    assert read(kind, reads, implementation) == at_length


@pytest.mark.parametrize("kind", ANSWERS)
def test_cut_at_every_byte(kind, implementation):
    """A likeness is none the worse for an event that comes in two reads."""
    for event in ALIKE_EVENTS[kind]:
        body = b"".join(
            event.replace(TEXT, text) for text in (b"a", rb"\n", b"", b"\xc3\xa9", b"b")
        )
        at_length = read(kind, [body], implementation, include_raw=True)
        for place in range(len(body)):
            assert read(kind, [body[:place], body[place:]], implementation) == at_length
        assert read(kind, [body[i : i + 1] for i in range(len(body))], implementation) == at_length


def learnt(event, implementation, kind="chat"):
    """Learn from an event; give what the same event and one with other words say."""
    likeness = Likeness(implementation)
    answer = ANSWERS[kind](implementation=implementation)
    likeness.learn(event.replace(TEXT, b"a"), answer.read_plain)
    said = likeness.take(event.replace(TEXT, rb"b\n") + event.replace(TEXT, b"") + b"data")
    assert said is None or (likeness.count, likeness.consumed) == (2, 2 * len(event) - 1)
    return said and said[0]


@pytest.mark.parametrize("kind", ANSWERS)
def test_what_is_learnt(kind, implementation):
    """A plain event is learnt from, however it is spelled."""
    for event in ALIKE_EVENTS[kind]:
        (delta,) = learnt(event, implementation, kind)
        assert delta.delta == "b\n"
        assert isinstance(delta, ie.ThinkingDelta) == (b'"reason' in event or b'"think' in event)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"content":"@@"', b'"content":"@@","content":"a"'),
        (b'"content":"@@"', b'"content":"@@","content":null'),
        (b'"content":"@@"', b'"content":"@@","reasoning":"a"'),
        (b'"content":"@@"', b'"reasoning_content":"@@","reasoning":"@@"'),
        (b'"content":"@@"', b'"reasoning_content":"@@","reasoning":"a"'),  # said by an empty one
        (b'"content":"@@"', b'"tool_calls":[{"function":{"name":"@@"}}]'),
        (b'"content":"@@"', b'"content":"@@","refusal":"a"'),
        (b'"index":0', b'"index":1'),
        (b'"index":0', b'"index":0,"finish_reason":"stop"'),
        (b'"choices":[', b'"choices":[{"delta":{"content":"a"}},'),
        (b'"model"', b'"usage":{"prompt_tokens":1},"model"'),
        (b'"model"', b'"error":"a","model"'),
        (b"data", b"event: error\ndata"),
        (b"data", b"retry: 7\nevent: x\nx: 8\ndata"),
        (b"data", b"data: {\ndata"),
        (b"data", b"x"),
        (b"}]}\n\n", b"}]}\n"),
        (b"}]}\n\n", b"}]}\n\ndata: {}\n\n"),
        (b"}]}\n\n", b"}]}\n\ndata: "),
    ],
)
def test_what_is_not_learnt(old, new, implementation):
    """Nothing is learnt from an event that is not plain, or whose text does not decide alone."""
    assert old in CHAT
    assert learnt(CHAT, implementation) == [ie.TextDelta("b\n")]
    assert learnt(CHAT.replace(old, new), implementation) is None


@pytest.mark.parametrize("text", [b"one", b"2", b"a"])
def test_a_string_that_another_one_overrules(text, implementation):
    """What is tried in its place may be, by chance, what the other one says anyway."""
    event = CHAT.replace(b'"content":"@@"', b'"content":"@@","content":"%s"' % text)
    likeness = Likeness(implementation)
    likeness.learn(event.replace(TEXT, text), Answer(implementation=implementation).read_plain)
    assert likeness.take(event.replace(TEXT, text))[0] == [ie.TextDelta(text.decode())]
    assert likeness.take(event.replace(TEXT, b"b")) is None


def test_an_event_is_learnt_from_once(implementation):
    """The bytes of a likeness are compared; nothing is read again while they are the same."""
    answer = Answer(implementation=implementation)
    answer.feed(CHAT.replace(TEXT, b"a"))
    answer.read_plain = None
    assert len(answer.feed(CHAT.replace(TEXT, b"b") * 500)) == 500
    assert [event.delta for event in answer.feed(CHAT.replace(TEXT, b"c"))] == ["c"]


def test_events_that_are_never_alike(implementation):
    """It is tried the more seldom, the more often it was in vain."""
    answer, tried = Answer(implementation=implementation), []
    read_plain = answer.read_plain
    answer.read_plain = lambda event: (tried.append(event), read_plain(event))[1]
    for number in range(1000):
        event = CHAT.replace(b'"id":"c"', b'"id":"%d"' % number).replace(TEXT, b"a")
        assert len(answer.feed(event)) == 1
    assert len(tried) < 60


def test_strings_that_never_end(implementation):
    """What is searched for strings is searched once, whatever marks are in it."""
    comment = b": " + rb"\"" * 50_000 + b"\n"
    answer, likeness = Answer(implementation=implementation), Likeness(implementation)
    begun = time.process_time()
    likeness.learn(comment + CHAT.replace(TEXT, b"a"), answer.read_plain)
    assert time.process_time() - begun < 2  # once for each of them would take a minute
    assert likeness.take(comment + CHAT.replace(TEXT, b"b"))[0] == [ie.TextDelta("b")]


@pytest.mark.parametrize("begins", [b": ", CHAT.partition(TEXT)[0]], ids=["comment", "text"])
def test_a_large_event_in_small_reads(begins, implementation):
    """What has come of an event is not looked at, nor copied, with each of its reads."""
    answer = Answer(implementation=implementation)
    answer.feed(CHAT.replace(TEXT, b"a") * 2)
    begun = time.process_time()
    assert answer.feed(begins) == []
    for _ in range(4096):
        assert answer.feed(b"x" * 4096) == []
    assert time.process_time() - begun < 2  # 16 MiB at each of 4096 reads would take ten seconds
    assert answer.error is None


@pytest.mark.parametrize("size", [700, 4096])
@pytest.mark.parametrize("kind", ANSWERS)
def test_reads_that_begin_amid_an_event(kind, size, implementation):
    """It is learnt from an event that is whole, wherever reads begin and whatever came first."""
    answer, taken = ANSWERS[kind](implementation=implementation), []
    likeness = answer._likeness
    take = likeness.take
    likeness.take = lambda data: (said := take(data)) and (taken.append(likeness.count), said)[1]
    body = b'data: {"type":"ping"}\n\n' * 3
    for name in (b'"m"', b'"n"'):
        event = ALIKE_EVENTS[kind][0].replace(b'"m"', name)
        body += event.replace(TEXT, b"a") * 500
    events = [said for i in range(0, len(body), size) for said in answer.feed(body[i : i + size])]
    assert len(events) == 1000
    assert sum(taken) > 900


def test_events_that_are_alike_in_turn(implementation):
    """Events of which every other is alike are not all looked at closely."""
    answer, learnt_from = Answer(implementation=implementation, choices=2), []
    likeness = answer._likeness
    learn = likeness.learn
    likeness.learn = lambda event, read: (learnt_from.append(event), learn(event, read))
    event = CHAT.replace(TEXT, b"a")
    other = event.replace(b'"index":0', b'"index":1')
    assert len(answer.feed(event * 40)) == 40
    for _ in range(320):
        assert len(answer.feed(event + other)) == 1
    assert len(learnt_from) < 100


def test_the_largest_event(implementation):
    """An event that is too large is an error, also if it is like one before."""
    small, large = CHAT.replace(TEXT, b"a"), CHAT.replace(TEXT, b"a" * 300)
    for reader in READERS[implementation]:
        answer = Answer(implementation=implementation, max_event_bytes=200)
        with receiving(reader) as receive:
            assert len(receive(answer, small * 2)) == 2
            assert len(receive(answer, small + large)) == 1
        assert answer.error.code == "event_too_large"


def test_the_largest_message(implementation):
    """Blocks that are one too many are an error after the first text of the last, as at length."""
    start = {"type": "content_block_start", "index": 0}
    call = {**start, "content_block": {"type": "tool_use", "id": "t", "name": "f"}}
    begin = b"data: %s\n\n" % json.dumps(call).encode()
    reads = [MESSAGES.replace(TEXT, b"a") * 4, *[begin, MESSAGES.replace(TEXT, b"b") * 4] * 9]
    for limit in range(1000, 9000, 100):
        said, ending, *_ = read("messages", reads, implementation, max_event_bytes=limit)
        at_length = read("messages", reads, "pure", max_event_bytes=limit, include_raw=True)
        assert (said, ending) == at_length[:2]


def test_raw_chunks(implementation):
    """Who wants the chunks gets each of them."""
    answer = Answer(implementation=implementation, include_raw=True)
    events = answer.feed(CHAT.replace(TEXT, b"a") * 3)
    assert [event.type for event in events] == ["raw", "text"] * 3


PARTS = [b'data: {"a":"', b'"}\n\n', b'","b":"', b"a", b'"', b"\\", b"\n", b"\xff", b" "]


@pytest.mark.skipif("native" not in IMPLEMENTATIONS, reason="there is no C part")
@given(pieces=st.lists(st.sampled_from(PARTS)), has_end=st.booleans())
@settings(deadline=None)
def test_native_as_pure(pieces, has_end):
    """Both implementations take the same texts out of anything."""
    head, tail, filled = PARTS[:3]
    parts = (head, filled, tail) if has_end else (head, tail, b"")
    native, pure = (ALIKE[name](*parts) for name in ("native", "pure"))
    texts = [alike.texts(b"".join(pieces)) for alike in (native, pure)]
    assert texts[0] is texts[1] is None or bytes(texts[0]) == bytes(texts[1])
    assert (native.count, native.consumed) == (pure.count, pure.consumed)


@pytest.mark.parametrize("kind", ANSWERS)
def test_the_answer_as_a_whole(kind, implementation):
    """What was said at a glance is in the answer: the turn that goes back, the size, the model."""
    event = ALIKE_EVENTS[kind][0]
    signed = {"type": "content_block_delta", "index": 0}
    signature = {**signed, "delta": {"type": "signature_delta", "signature": "s"}}
    thought = MESSAGES.replace(b"text_delta", b"thinking_delta").replace(b'"text"', b'"thinking"')
    body = event.replace(TEXT, b"a") * 50
    if kind == "messages":
        sign = b"data: %s\n\n" % json.dumps(signature).encode()
        body = thought.replace(TEXT, b"t") * 50 + sign + body.replace(b'"index":0', b'"index":1')
    said, ending, payloads, *_ = read(kind, [body, b"data: [DONE]\n\n"], implementation)
    assert sum(event.type == "text" for event in said) == 50
    assert payloads >= 50
    if kind == "messages":
        assert [block.text for block in ending.blocks] == ["t" * 50, "a" * 50]
