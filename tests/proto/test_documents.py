"""Documents, thoughts that go back, and results that failed: what requests can say of them."""

from __future__ import annotations

import base64
import pickle

import pytest

import inferd_engine as ie

PDF = b"%PDF-1.7 rest"
SIGNED = ie.ThinkingBlock("hm", {"signature": "s"})
CALL = ie.ToolUseBlock("i", "f", {"a": 1})
USAGE = ie.Usage(1, 2)


def test_json_there_and_back():
    """A request with all of it comes back from its JSON."""
    request = ie.RequestV2(
        [
            ie.MessageV2("user", [ie.TextBlock("Read:"), ie.DocumentBlock("d")]),
            ie.MessageV2("assistant", [SIGNED, ie.ThinkingBlock("x"), CALL]),
            ie.MessageV2("user", [ie.ToolResultBlock("i", "boom", is_error=True)]),
        ],
        attachments=[
            ie.DocumentAttachment("d", PDF, name="a.pdf"),
            ie.DocumentAttachment("e", "https://h/a.pdf"),
        ],
    )
    data = request.to_dict()
    assert ie.RequestV2.from_dict(data) == request
    request.resolve()
    assert data["attachments"] == [
        {
            "kind": "document",
            "id": "d",
            "media_type": "application/pdf",
            "name": "a.pdf",
            "bytes": base64.b64encode(PDF).decode(),
        },
        {"kind": "document", "id": "e", "media_type": "application/pdf", "url": "https://h/a.pdf"},
    ]


def test_what_is_unset_is_no_part_of_the_json():
    """Inferd knows neither what a thought has beside its text, nor results that failed."""
    message = ie.MessageV2("user", [ie.ThinkingBlock("x"), ie.ToolResultBlock("i", "y")])
    thought, result = message.to_dict()["content"]
    assert thought == {"type": "thinking", "text": "x"}
    assert "is_error" not in result


@pytest.mark.parametrize(
    ("attachment", "words"),
    [
        (ie.DocumentAttachment("d", b""), "attachments[0] has data that is not bytes, or is empty"),
        (ie.DocumentAttachment("d", 5), "attachments[0] has data that is not bytes"),
        (ie.DocumentAttachment("d", "a.pdf"), "attachments[0] has a str as data that is not a URL"),
        (ie.DocumentAttachment("d", None), "attachments[0] has no data: give its bytes, or a URL"),
        (ie.DocumentAttachment("d", PDF, "pdf"), "attachments[0].media_type is 'pdf'"),
        (ie.DocumentAttachment("d", PDF, None), "attachments[0].media_type is None"),
        (ie.DocumentAttachment("d", PDF, name=None), "attachments[0].name is None"),
    ],
)
def test_documents_that_are_refused(attachment, words):
    """What cannot be sent is named with its place."""
    request = ie.RequestV2([ie.user("a")], attachments=[attachment])
    with pytest.raises(ie.InvalidRequestError) as caught:
        request.resolve()
    assert str(caught.value).startswith(words)


def test_a_thought_keeps_a_mapping():
    """What goes back with a thought has names."""
    message = ie.MessageV2("assistant", [ie.ThinkingBlock("x", "signature")])
    with pytest.raises(ie.InvalidRequestError, match=r"content\[0\].extra is of type str"):
        ie.RequestV2([message]).resolve()


def test_a_document_is_not_shown_in_a_repr():
    """A repr has one short line."""
    assert "%PDF" not in repr(ie.DocumentAttachment("d", PDF))


def test_a_turn_that_goes_back_unchanged():
    """A completion's message is the turn that the upstream signed; it survives JSON and pickles."""
    blocks = (SIGNED, ie.TextBlock("a"), CALL)
    done = ie.Done(ie.StopReason.TOOL_USE, USAGE, "tool_use", blocks)
    events = [ie.ThinkingDelta("hm"), ie.TextDelta("a"), ie.ToolUse("i", "f", {"a": 1}), done]
    completion = ie.Completion.of(events)
    assert completion.to_message() == ie.MessageV2("assistant", blocks)
    assert ie.Completion.from_dict(completion.to_dict()) == completion
    assert pickle.loads(pickle.dumps(completion)) == completion


def test_documents_that_nobody_shows_are_shown():
    """An attachment that no message refers to stands after the user's last text."""
    document = ie.DocumentAttachment("d", PDF)
    mock = ie.Mock(tokens=("ok",))
    seen = []
    mock.generate_v2 = lambda request, **_: seen.append(request)
    mock.stream("What is this?", attachments=[document])
    content = seen[0].messages[0].content
    assert content == (ie.TextBlock("What is this?"), ie.DocumentBlock("d"))
