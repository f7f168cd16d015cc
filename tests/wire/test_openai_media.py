"""Images and sounds become the parts that OpenAI's Chat Completions take."""

import array
import base64
import io
import sys
import wave

import pytest
from PIL import Image

import inferd_engine as ie
from inferd_engine.wire.openai.messages import messages_from
from inferd_engine.wire.openai_request import request_from_resolved

CONFIG = ie.OpenAiCompatConfig(base_url="http://localhost", vision=True, audio=True)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
FILES = {
    "png": PNG,
    "jpeg": b"\xff\xd8\xff\xe0" + bytes(20),
    "gif": b"GIF89a" + bytes(20),
    "webp": b"RIFF\x04\x00\x00\x00WEBPVP8 ",
}


def part(block, *attachments, config=CONFIG):
    """Give the content part that a block becomes."""
    message = ie.MessageV2("user", (ie.TextBlock("see"), block))
    request = ie.RequestV2([message], attachments=attachments).resolve()
    text, shown = request_from_resolved(request, config)["messages"][0]["content"]
    assert text == {"type": "text", "text": "see"}
    return shown


def image_url(image):
    """Give the URL under which an image is shown."""
    shown = part(ie.ImageBlock("i"), image)
    assert shown["type"] == "image_url"
    return shown["image_url"]["url"]


def decoded(url):
    """Give the media type and the bytes of a data URL."""
    kind, _, data = url.partition(";base64,")
    return kind.removeprefix("data:"), base64.b64decode(data)


# --- images --------------------------------------------------------------------------------------


def test_raw_rgb_becomes_png():
    """Raw RGB is encoded as PNG, pixel by pixel."""
    pixels = bytes(range(18))
    kind, png = decoded(image_url(ie.ImageAttachment("i", 3, 2, pixels)))
    assert kind == "image/png"
    with Image.open(io.BytesIO(png)) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (3, 2))
        assert image.tobytes() == pixels


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("size", [(0, 0), (640, 480)])
def test_encoded_images_go_through_untouched(kind, size):
    """The bytes of a PNG, JPEG, WebP or GIF file are sent as they are, whatever size is given."""
    shown = decoded(image_url(ie.ImageAttachment("i", *size, FILES[kind])))
    assert shown == (f"image/{kind}", FILES[kind])


def test_encoded_by_name():
    """encoded() attaches a file's bytes without a size."""
    assert ie.ImageAttachment.encoded("i", PNG) == ie.ImageAttachment("i", 0, 0, PNG)


@pytest.mark.parametrize("url", ["https://x.example/a.png?b=c", "data:image/png;base64,AAAA"])
def test_addresses_go_through_untouched(url):
    """An address is sent as it is: the upstream fetches it."""
    assert image_url(ie.ImageAttachment.at("i", url)) == url


def test_raw_rgb_that_looks_encoded():
    """RGB of exactly the right size is RGB, though its first pixel begins like a JPEG file."""
    kind, _ = decoded(image_url(ie.ImageAttachment("i", 2, 1, b"\xff\xd8\xff\xe0\x00\x10")))
    assert kind == "image/png"


def test_detail():
    """The detail that the caller wants is sent beside the address."""
    image = ie.ImageAttachment.at("i", "https://x.example/", detail="low")
    assert part(ie.ImageBlock("i"), image)["image_url"]["detail"] == "low"


def test_without_pillow(monkeypatch):
    """Raw RGB without Pillow is refused, and the message says what to install."""
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ie.UnsupportedError, match=r"content\[1\].*inferd-engine\[vision\]"):
        part(ie.ImageBlock("i"), ie.ImageAttachment("i", 1, 1, b"rgb"))
    assert image_url(ie.ImageAttachment.encoded("i", PNG))


# --- sounds --------------------------------------------------------------------------------------


def test_samples_become_wav():
    """Float samples become a 16-bit WAV of one channel; what is too loud is cut."""
    samples = array.array("f", [0.0, 0.5, -0.5, 1.0, -1.0, 7.0])
    if sys.byteorder == "big":
        samples.byteswap()
    shown = part(ie.AudioBlock("s"), ie.AudioAttachment("s", 16000, samples.tobytes()))
    assert shown["type"] == "input_audio"
    assert shown["input_audio"]["format"] == "wav"
    with wave.open(io.BytesIO(base64.b64decode(shown["input_audio"]["data"]))) as sound:
        assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (1, 2, 16000)
        pcm = memoryview(sound.readframes(6)).cast("h").tolist()
    assert pcm == [0, 16384, -16384, 32767, -32767, 32767]


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("wav", b"RIFF\x04\x00\x00\x00WAVEfmt "),
        ("mp3", b"ID3\x04\x00\x00"),
        ("mp3", b"\xff\xfb\x90\x64\x00"),
    ],
)
def test_encoded_sounds_go_through_untouched(kind, data):
    """The bytes of a WAV or MP3 file are sent as they are."""
    shown = part(ie.AudioBlock("s"), ie.AudioAttachment.encoded("s", data))["input_audio"]
    assert shown == {"data": base64.b64encode(data).decode(), "format": kind}


def test_samples_that_are_no_numbers():
    """A sample that is NaN is refused with its place."""
    nan = array.array("f", [0.0, float("nan")]).tobytes()
    with pytest.raises(ie.InvalidRequestError, match=r"^messages\[0\]\.content\[1\] has a sample"):
        part(ie.AudioBlock("s"), ie.AudioAttachment("s", 8000, nan))


# --- switches ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("switch", "block", "attachment"),
    [
        ("vision", ie.ImageBlock("a"), ie.ImageAttachment.encoded("a", PNG)),
        ("audio", ie.AudioBlock("a"), ie.AudioAttachment("a", 8000, bytes(4))),
    ],
)
def test_each_has_its_own_switch(switch, block, attachment):
    """Images and sounds are switched on one by one; what is off is refused, with the switch."""
    on = ie.OpenAiCompatConfig(base_url="http://localhost", **{switch: True})
    assert part(block, attachment, config=on)
    off = ie.OpenAiCompatConfig(
        base_url="http://localhost", vision=switch != "vision", audio=switch != "audio"
    )
    with pytest.raises(ie.AttachmentUnsupportedError, match=f"configure {switch}=True"):
        part(block, attachment, config=off)


def test_capabilities():
    """What is switched on is what the backend says that it can do."""
    with ie.OpenAiCompat(base_url="http://localhost") as backend:
        found = backend.capabilities()
        assert (found.vision, found.audio, found.video) == (False, False, False)
        found = backend.with_options(vision=True, audio=True).capabilities()
        assert (found.vision, found.audio, found.video) == (True, True, False)


def test_json_form():
    """Encoded images and addresses survive inferd's JSON."""
    attachments = [
        ie.ImageAttachment.encoded("a", PNG),
        ie.ImageAttachment.at("b", "https://x.example/", detail="high"),
        ie.AudioAttachment.encoded("c", b"ID3"),
    ]
    request = ie.RequestV2([ie.user("x")], attachments=attachments)
    assert ie.RequestV2.from_dict(request.to_dict()) == request
    assert request.to_dict()["attachments"][1] == {
        "kind": "image",
        "id": "b",
        "width": 0,
        "height": 0,
        "detail": "high",
        "url": "https://x.example/",
    }


def documents(*content, attachments=(), **settings):
    config = ie.OpenAiCompatConfig(base_url="http://localhost", **settings)
    request = ie.RequestV2([ie.MessageV2("user", content)], attachments=attachments).resolve()
    return request_from_resolved(request, config)["messages"]


@pytest.mark.parametrize(
    ("attachment", "name", "kind"),
    [
        (ie.DocumentAttachment("d", b"%PDF", name="a.pdf"), "a.pdf", "application/pdf"),
        (ie.DocumentAttachment("d", b"%PDF"), "d.pdf", "application/pdf"),
        (ie.DocumentAttachment("d", b"%PDF", "text/plain"), "d.txt", "text/plain"),
    ],
)
def test_a_document_is_a_file(attachment, name, kind):
    """A document goes in OpenAI's shape, and that shape is read as a document."""
    block = ie.DocumentBlock("d")
    messages = documents(block, attachments=[attachment], documents=True)
    file = {"filename": name, "file_data": f"data:{kind};base64,JVBERg=="}
    assert messages == [{"role": "user", "content": [{"type": "file", "file": file}]}]
    read, attachments = messages_from(messages)
    assert isinstance(read[0].content[0], ie.DocumentBlock)
    assert (attachments[0].data, attachments[0].media_type) == (b"%PDF", kind)


def test_a_document_that_is_not_sent():
    """Without the switch, or by its address, a document is refused with the next step."""
    block = ie.DocumentBlock("d")
    with pytest.raises(ie.AttachmentUnsupportedError, match="documents=True"):
        documents(block, attachments=[ie.DocumentAttachment("d", b"%PDF")])
    at = ie.DocumentAttachment("d", "https://h/a.pdf")
    with pytest.raises(ie.AttachmentUnsupportedError, match="give its bytes"):
        documents(block, attachments=[at], documents=True)
