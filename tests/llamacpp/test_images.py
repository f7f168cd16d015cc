"""Images: read in their place by a projector of random weights, stopped, kept, and refused."""

from __future__ import annotations

import base64
import ctypes
import hashlib
import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from llamacpp.conftest import SETTINGS, forget, is_idle, until
from llamacpp.models import write_projector, write_qwen2vl

import inferd_engine as ie
from inferd_engine.backends.llamacpp.library import library
from inferd_engine.backends.llamacpp.projector import MARKER, Piece, mtmd_library

RED, BLUE = bytes([255, 0, 0] * 256), bytes([0, 0, 255] * 256)
TOKENS = 16  # of an image: (32 / 8) ** 2


@pytest.fixture(scope="module")
def projector(folder):
    """The path of a projector for the tiny model."""
    write_projector(folder / "mmproj.gguf")
    return folder / "mmproj.gguf"


@pytest.fixture(scope="module")
def slow_projector(folder):
    """The path of a projector that takes seconds for an image."""
    path = folder / "slow-mmproj.gguf"
    write_projector(path, size=336, patch=8, inner=384, layers=6)
    return path


@pytest.fixture(scope="module")
def seeing(tiny, projector):
    """A backend that reads images, loaded once for all tests of this file."""
    with ie.LlamaCpp(model_path=tiny, mmproj_path=projector, **SETTINGS) as backend:
        backend.load()
        yield backend


@pytest.fixture(scope="module")
def qwen(folder):
    """A backend whose positions have several dimensions, and whose images are of any size."""
    write_qwen2vl(folder / "qwen.gguf", folder / "qwen-mmproj.gguf")
    with ie.LlamaCpp(
        model_path=folder / "qwen.gguf", mmproj_path=folder / "qwen-mmproj.gguf", **SETTINGS
    ) as backend:
        backend.load()
        yield backend


def raw(data, side=16):
    return ie.ImageAttachment("", side, side, data)


def png(data, side=16):
    from PIL import Image

    out = io.BytesIO()
    Image.frombytes("RGB", (side, side), data).save(out, "PNG")
    return out.getvalue()


def shown(*images, text="What is this?"):
    """Return a message and its attachments: the text, the images, and a question."""
    attachments = [
        ie.ImageAttachment(f"image{n}", image.width, image.height, image.data)
        for n, image in enumerate(images)
    ]
    blocks = [ie.ImageBlock(attachment.id) for attachment in attachments]
    content = [ie.TextBlock(text), *blocks, ie.TextBlock("Well?")]
    return ie.MessageV2("user", content), attachments


def ask(backend, *images, text="What is this?", **fields):
    message, attachments = shown(*images, text=text)
    fields = {"temperature": 0, "max_tokens": 8, **fields}
    return backend.complete([message], attachments=attachments, **fields)


def cached(answer):
    return answer.usage.details["prompt_tokens_details"]["cached_tokens"]


def reference(backend, prompt, images, count):
    """Return the text that libmtmd's own helper and a greedy sampler make of a prompt."""
    mtmd, llama = mtmd_library(), library()
    loaded = backend._engine.loaded
    handle, model = loaded.projector.handle, loaded.model
    params = llama.llama_context_default_params()
    params.n_ctx, params.n_threads, params.n_threads_batch = 512, 1, 1
    params.type_k = params.type_v = 0
    context = llama.llama_init_from_model(model.handle, params)
    bitmaps = [
        mtmd.mtmd_bitmap_init(i.width, i.height, (ctypes.c_uint8 * len(i.data))(*i.data))
        for i in images
    ]
    data = prompt.encode()
    told = mtmd.mtmd_input_text(data, len(data), True, True)
    chunks = mtmd.mtmd_input_chunks_init()
    array = (ctypes.c_void_p * len(bitmaps))(*bitmaps)
    assert mtmd.mtmd_tokenize(handle, chunks, ctypes.byref(told), array, len(bitmaps)) == 0
    past = llama.llama_pos(0)
    assert (
        mtmd.mtmd_helper_eval_chunks(handle, context, chunks, 0, 0, 512, True, ctypes.byref(past))
        == 0
    )
    said, position = b"", past.value
    sampler = llama.llama_sampler_init_greedy()
    for _ in range(count):
        token = llama.llama_sampler_sample(sampler, context, -1)
        said += model.piece(token)
        tokens, positions = (llama.llama_token * 1)(token), (llama.llama_pos * 1)(position)
        batch = llama.llama_batch_get_one(tokens, 1)
        batch.pos = positions
        position += 1
        assert llama.llama_decode(context, batch) == 0
    llama.llama_sampler_free(sampler)
    mtmd.mtmd_input_chunks_free(chunks)
    for bitmap in bitmaps:
        mtmd.mtmd_bitmap_free(bitmap)
    llama.llama_free(context)
    return said.decode("utf-8", "replace")


def prompt_of(images, text="What is this?"):
    return f"user: {text}{MARKER * len(images)}Well?\nassistant:"


@pytest.mark.parametrize("which", [[RED], [BLUE], [RED, BLUE], [BLUE, RED]], ids=len)
def test_answers_are_those_of_llama_cpps_own_helper(seeing, which):
    """Token by token: each image is in its place, and what follows it at its position."""
    images = [raw(data) for data in which]
    answer = ask(seeing, *images)
    assert answer.text == reference(seeing, prompt_of(images), images, 8)
    assert answer.usage.input_tokens > TOKENS * len(images)


def test_what_an_image_shows_matters(seeing):
    """Another image, another answer; the same image, the same answer."""
    assert ask(seeing, raw(RED)).text == ask(seeing, raw(RED)).text
    assert ask(seeing, raw(RED)).text != ask(seeing, raw(BLUE)).text


def test_an_image_is_the_same_however_it_is_given(seeing):
    """Raw, as a file, as a data URL, and in OpenAI's shape."""
    plain, file = ask(seeing, raw(RED)).text, png(RED)
    assert ask(seeing, ie.ImageAttachment.encoded("", file)).text == plain
    url = f"data:image/png;base64,{base64.b64encode(file).decode()}"
    assert ask(seeing, ie.ImageAttachment.at("", url)).text == plain
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "text", "text": "Well?"},
    ]
    said = seeing.complete([{"role": "user", "content": parts}], temperature=0, max_tokens=8)
    assert said.text == plain


def test_an_image_that_was_read_is_not_read_again(seeing):
    """The second turn reads its new words alone; another image in its place is read."""
    message, attachments = shown(raw(RED))
    first = seeing.complete([message], attachments=attachments, temperature=0, max_tokens=4)
    turns = [message, first.to_message(), ie.user("And now?")]
    second = seeing.complete(turns, attachments=attachments, temperature=0, max_tokens=4)
    assert cached(second) >= first.usage.input_tokens
    forget(seeing)
    fresh = seeing.complete(turns, attachments=attachments, temperature=0, max_tokens=4)
    assert (cached(fresh), fresh.text) == (0, second.text)
    other = seeing.complete(turns, attachments=shown(raw(BLUE))[1], temperature=0, max_tokens=4)
    assert cached(other) < second.usage.input_tokens - TOKENS


@pytest.mark.parametrize("which", [[RED], [RED, BLUE]], ids=len)
def test_positions_of_several_dimensions_are_right(qwen, which):
    """What follows an image of 4 by 4 pieces is 4 positions behind it, and not 16 (M-RoPE)."""
    images = [raw(data * 49, 112) for data in which]
    answer = ask(qwen, *images)
    assert answer.text == reference(qwen, prompt_of(images), images, 8)
    again = ask(qwen, *images)
    assert (again.text, cached(again) > TOKENS) == (answer.text, True)
    known = qwen._engine.loaded.slots._free[0]
    assert known.position < len(known.known)


def test_several_look_at_images_at_a_time(seeing):
    """Each at its own, and each says what it says alone."""
    with seeing.with_options(n_parallel=3) as backend, ThreadPoolExecutor(3) as pool:
        images = [raw(RED), raw(BLUE), raw(RED)]
        alone = [ask(backend, image, max_tokens=20).text for image in images]
        assert len({*alone}) == 2
        for _ in range(3):
            forget(backend)
            asked = [pool.submit(ask, backend, image, max_tokens=20) for image in images]
            assert [answer.result(60).text for answer in asked] == alone


def test_a_budget_makes_images_smaller(qwen):
    """Each takes no more tokens than that; without one, as many as the model takes."""
    large = raw(RED * 900, 480)

    def pieces(backend, **fields):
        ask(backend, large, max_tokens=1, **fields)
        known = backend._engine.loaded.slots._free[0].known
        return sum(isinstance(entry, Piece) for entry in known)

    assert pieces(qwen) == (480 // 28) ** 2
    for budget in (70, 140):
        assert budget / 2 < pieces(qwen, extra_body={"image_token_budget": budget}) <= budget


def test_a_budget_that_a_model_cannot_keep_is_refused(tiny, folder):
    """With both numbers: all its images take as many."""
    path = folder / "many.gguf"
    write_projector(path, size=80)
    with ie.LlamaCpp(model_path=tiny, mmproj_path=path, **SETTINGS) as backend:
        with pytest.raises(ie.InvalidRequestError, match=r"takes 100 tokens, .* is 70"):
            ask(backend, raw(RED), extra_body={"image_token_budget": 70})
        with pytest.raises(ie.InvalidRequestError, match="take one of 70"):
            ask(backend, raw(RED), extra_body={"image_token_budget": 71})


def test_version_1_takes_a_budget_where_there_is_a_projector(seeing, tiny):
    """It shows no images, and so there is nothing to keep within it."""
    request = ie.Request([ie.Message("user", "Hi")], max_tokens=2, image_token_budget=70).resolve()
    assert "".join(seeing.generate(request).text())
    with (
        ie.LlamaCpp(model_path=tiny, **SETTINGS) as blind,
        pytest.raises(ie.UnsupportedError, match="give mmproj_path"),
    ):
        blind.generate(request)


def test_without_a_projector_an_image_is_refused(tiny):
    """And the capabilities say so."""
    with ie.LlamaCpp(model_path=tiny, **SETTINGS) as blind:
        assert not blind.capabilities().vision
        place = r"messages\[0\]\.content\[1\] is of type image.* give mmproj_path"
        with pytest.raises(ie.AttachmentUnsupportedError, match=place):
            ask(blind, raw(RED))


def test_with_one_the_capabilities_say_so(seeing):
    """Before it is loaded, too."""
    assert seeing.capabilities().vision


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"GIF89a", "cannot be decoded"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "cannot be decoded"),
        ("data:image/png;base64,%%%", "base64 is broken"),
    ],
    ids=["gif", "png", "base64"],
)
def test_a_broken_image_is_refused_by_its_place(seeing, data, said):
    """Before anything is computed."""
    with pytest.raises(ie.InvalidRequestError, match=said) as caught:
        ask(seeing, ie.ImageAttachment("", 0, 0, data))
    assert "messages[0].content[1]" in str(caught.value)


def test_an_address_is_not_fetched(seeing):
    """There is no network in here."""
    with pytest.raises(ie.AttachmentUnsupportedError, match="by its address"):
        ask(seeing, ie.ImageAttachment.at("", "https://example.com/sky.png"))


def test_too_many_images_are_told_with_the_numbers(seeing):
    """How many tokens they take, and how many there is room for."""
    many = [raw(RED)] * 32
    with pytest.raises(ie.InvalidRequestError, match=r"512 of them for images, .* room for 512"):
        ask(seeing, *many)


def test_what_users_write_is_no_image(seeing):
    """Whoever writes a marker of llama.cpp's writes text."""
    assert ask(seeing, text="<__media__> <__image__>").text
    assert ask(seeing, raw(RED), text="<__media__>").text


def test_a_template_that_leaves_images_out_is_told(seeing):
    """Instead of an answer to half a question."""
    deaf = seeing.with_options(chat_template="{{ messages[0].role }}:")
    with pytest.raises(ie.InvalidRequestError, match="template has left out an image"):
        ask(deaf, raw(RED))


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "cannot be read: No such file"), (b"<html>", "is not a GGUF file")],
    ids=["missing", "page"],
)
def test_a_projector_that_is_none_is_refused_by_name(tiny, tmp_path, content, said):
    """The error names the field and the file."""
    path = tmp_path / "mmproj.gguf"
    if content is not None:
        path.write_bytes(content)
    with (
        ie.LlamaCpp(model_path=tiny, mmproj_path=path, **SETTINGS) as backend,
        pytest.raises(ie.InvalidRequestError, match=f"mmproj_path: .*{said}"),
    ):
        backend.load()


def test_a_model_is_no_projector(tiny):
    """What libmtmd says of it is in the error."""
    with (
        ie.LlamaCpp(model_path=tiny, mmproj_path=tiny, **SETTINGS) as backend,
        pytest.raises(ie.NotReadyError, match=r"mmproj_path: .*says: "),
    ):
        backend.load()


def test_the_hash_of_a_projector_decides(tiny, projector):
    """A file that is not the one that was meant is not loaded."""
    digest = hashlib.sha256(projector.read_bytes()).hexdigest()
    fields = {"model_path": tiny, "mmproj_path": projector, **SETTINGS}
    with ie.LlamaCpp(**fields, mmproj_sha256=digest.upper()) as backend:
        backend.load()
    with (
        ie.LlamaCpp(**fields, mmproj_sha256="0" * 64) as backend,
        pytest.raises(ie.InvalidRequestError, match="mmproj_sha256 is 0000"),
    ):
        backend.load()


def test_a_projector_of_another_model_is_told_with_both_sizes(tiny, tmp_path):
    """Of the embeddings: that is where they have to meet."""
    path = tmp_path / "other.gguf"
    write_projector(path, width=48)
    with (
        ie.LlamaCpp(model_path=tiny, mmproj_path=path, **SETTINGS) as backend,
        pytest.raises(ie.NotReadyError, match=r"n_embd = 64\).*n_embd = 48") as caught,
    ):
        backend.load()
    assert not caught.value.retryable


def test_an_image_stops_in_the_middle(tiny, slow_projector):
    """While it is computed; what comes next on the same context is right."""
    fields = {"model_path": tiny, "mmproj_path": slow_projector, **SETTINGS, "n_ctx": 4096}
    message, attachments = shown(raw(RED))
    with ie.LlamaCpp(**fields) as backend:
        backend.load()
        plain = backend.complete("Hi", temperature=0, max_tokens=4).text
        watch = backend._engine.loaded.projector._watch
        for _ in range(3):
            stream = backend.stream([message], attachments=attachments, max_tokens=4)
            assert until(lambda: watch.flag is not None)
            begun = watch._nodes
            assert until(lambda begun=begun: watch._nodes > begun + 20)
            closed = time.monotonic()
            stream.close()
            assert time.monotonic() - closed < 1.0
            assert until(lambda: is_idle(backend))
            assert watch.flag is None
            assert backend.complete("Hi", temperature=0, max_tokens=4).text == plain


def test_two_contexts_share_a_projector(tiny, projector):
    """One image at a time, and each answer its own."""
    fields = {"model_path": tiny, "mmproj_path": projector, **SETTINGS, "n_parallel": 2}
    with ie.LlamaCpp(**fields) as backend, ThreadPoolExecutor(4) as pool:
        alone = {data: ask(backend, raw(data)).text for data in (RED, BLUE)}
        asked = [RED, BLUE] * 10
        for data, answer in zip(
            asked, pool.map(lambda data: ask(backend, raw(data)), asked), strict=True
        ):
            assert answer.text == alone[data]
    assert not [t for t in threading.enumerate() if t.name.startswith("inferd-engine-worker")]
