"""Images of a request, as libmtmd reads them: decoded by it, and as small as their budget says."""

from __future__ import annotations

import base64
import binascii
import ctypes
import hashlib
import math
from typing import TYPE_CHECKING, Any

from inferd_engine.backends.llamacpp.library import Owner, complaints, forget_complaints
from inferd_engine.backends.llamacpp.projector import MARKER, Prompt, mtmd_library
from inferd_engine.backends.llamacpp.template import has_begin, tokens_of
from inferd_engine.errors import AttachmentUnsupportedError, InvalidRequestError
from inferd_engine.proto.v1 import IMAGE_TOKEN_BUDGETS
from inferd_engine.proto.v2 import ImageAttachment, ImageBlock

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inferd_engine.backends.llamacpp.engine import Loaded
    from inferd_engine.backends.llamacpp.projector import Projector
    from inferd_engine.proto.v2 import ResolvedV2

BUDGET = "image_token_budget"
_SHRINKS = 6  # attempts at making an image fit; each comes near, and sizes are in steps
_SLACK = 0.97  # of the side that should do: sizes are rounded up to whole patches


class Bitmap(Owner):
    """A decoded image.

    Args:
        image: What a request has attached.
        projector: What it is for.
        place: Where it stands, for errors.

    Raises:
        AttachmentUnsupportedError: It is an address, which is not fetched.
        InvalidRequestError: It cannot be decoded.
    """

    def __init__(self, image: ImageAttachment, projector: Projector, place: str) -> None:
        self._mtmd = mtmd = mtmd_library()
        data = _bytes_of(image, place)
        self._name = hashlib.sha256(b"%d %d " % (image.width, image.height) + data).hexdigest()
        buffer = (ctypes.c_uint8 * len(data)).from_buffer_copy(data)
        forget_complaints()
        if image.is_raw:
            made = mtmd.mtmd_bitmap_init(image.width, image.height, buffer)
        else:
            made = mtmd.mtmd_helper_bitmap_init_from_buf(
                projector.handle,
                buffer,
                len(data),
                False,  # noqa: FBT003 - C's order
            )
        self._have(made, self._name)
        if not made or mtmd.mtmd_bitmap_is_audio(made):
            raise InvalidRequestError(
                f"{place} shows an image that cannot be decoded: give PNG, JPEG, GIF or raw RGB"
                f"{complaints()}"
            )

    def _have(self, made: Any, name: str) -> None:
        self.own(made, self._mtmd.mtmd_bitmap_free)
        if made:
            self._mtmd.mtmd_bitmap_set_id(made, name.encode())

    def shrink(self, factor: float) -> None:
        """Make it smaller, its sides by this factor; each pixel is the mean of those it covers."""
        import numpy as np  # noqa: PLC0415 - llama-cpp-python brings it

        mtmd = self._mtmd
        shape = mtmd.mtmd_bitmap_get_ny(self.handle), mtmd.mtmd_bitmap_get_nx(self.handle)
        data = np.ctypeslib.as_array(mtmd.mtmd_bitmap_get_data(self.handle), shape=(*shape, 3))
        pixels = data.astype(np.float64)
        for axis, length in enumerate(shape):
            wanted = max(1, math.floor(length * factor))
            starts = np.arange(wanted) * length // wanted
            counts = np.diff([*starts, length])
            pixels = np.add.reduceat(pixels, starts, axis)
            pixels /= counts.reshape([-1 if n == axis else 1 for n in range(3)])
        small = np.ascontiguousarray(pixels.round().astype(np.uint8))
        height, width = small.shape[:2]
        buffer = small.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        mtmd.mtmd_bitmap_free(self.handle)
        self._have(mtmd.mtmd_bitmap_init(width, height, buffer), f"{self._name} {width}x{height}")


def _bytes_of(image: ImageAttachment, place: str) -> bytes:
    """Return what an image was attached as."""
    if not isinstance(image.data, str):
        return bytes(image.data)
    head, comma, rest = image.data.partition(";base64,")
    if not comma or not head.startswith("data:"):
        raise AttachmentUnsupportedError(
            f"{place} shows an image by its address: give its bytes, a model in this process "
            "fetches none"
        )
    try:
        return base64.b64decode(rest, validate=True)
    except binascii.Error as error:
        raise InvalidRequestError(
            f"{place} shows an image whose base64 is broken: {error}"
        ) from None


def bitmaps_of(request: ResolvedV2, projector: Projector | None) -> list[Bitmap]:
    """Return the images that the messages show, in their order.

    Raises:
        AttachmentUnsupportedError: There is no projector, or it is an address.
        InvalidRequestError: One cannot be decoded; the message names the place.
    """
    attached: dict[str, Any] = {item.id: item for item in request.attachments}
    found = []
    for number, message in enumerate(request.messages):
        for index, block in enumerate(message.content):
            if isinstance(block, ImageBlock):
                place = f"messages[{number}].content[{index}]"
                if projector is None:
                    raise AttachmentUnsupportedError(
                        f"{place} is of type image, which this backend reads with a projector: "
                        "give mmproj_path"
                    )
                found.append(Bitmap(attached[block.attachment_id], projector, place))
    return found


def budget_of(extra_body: Mapping[str, Any]) -> int | None:
    """Return how many tokens an image may take, if a request says so.

    Raises:
        InvalidRequestError: It is none of inferd's budgets.
    """
    budget = extra_body.get(BUDGET)
    if budget is not None and (budget not in IMAGE_TOKEN_BUDGETS or isinstance(budget, bool)):
        budgets = ", ".join(map(str, IMAGE_TOKEN_BUDGETS))
        raise InvalidRequestError(f"extra_body.{BUDGET} is {budget!r}: take one of {budgets}")
    return budget


def read_from(loaded: Loaded, text: str, bitmaps: Sequence[Bitmap], budget: int | None) -> Prompt:
    """Return what the model is to read of a prompt.

    Args:
        loaded: The model, and its projector.
        text: The prompt, with a marker for each image.
        bitmaps: The images; those that are too large are made smaller.
        budget: Tokens for each image at the most; None for as many as the model takes.

    Raises:
        InvalidRequestError: An image takes more tokens, whatever its size; or more than are read in
            one go, by a model that has to read it so.
    """
    projector = loaded.projector
    if projector is None or not bitmaps:
        return Prompt([*tokens_of(loaded.model, text)], {})
    if budget is not None:
        for number, bitmap in enumerate(bitmaps):
            _fit(bitmap, projector, budget, f"image {number + 1}")
    prompt = projector.prompt(text, bitmaps, has_begin=has_begin(loaded.model, text))
    for image in prompt.images.values():
        if projector.needs_one_go(image) and len(image.pieces) > loaded.one_go:
            raise InvalidRequestError(
                f"an image takes {len(image.pieces)} tokens, which this model reads in one go, and "
                f"{loaded.one_go} is the most: give an {BUDGET}, or a larger n_batch"
            )
    return prompt


def _fit(bitmap: Bitmap, projector: Projector, budget: int, which: str) -> None:
    size = 0
    for _ in range(_SHRINKS):
        before, size = size, _size_of(bitmap, projector)
        if size <= budget:
            return
        if size == before:
            break  # a model whose images all take as many
        bitmap.shrink(math.sqrt(budget / size) * _SLACK)
    raise InvalidRequestError(
        f"{which} takes {size} tokens, and {BUDGET} is {budget}: give a larger one, "
        "or none to a model whose images all take as many"
    )


def _size_of(bitmap: Bitmap, projector: Projector) -> int:
    prompt = projector.prompt(MARKER, [bitmap], has_begin=True)
    return sum(len(image.pieces) for image in prompt.images.values())
