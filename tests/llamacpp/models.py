"""Models for the tests beside the tiny one: one that reads slowly, and such as read images."""

from __future__ import annotations

import gguf
import numpy as np
from llama import tiny_model

_WIDTH = 512
_FEED_FORWARD = 2048
_LAYERS = 8
_HEADS = 8
_CONTEXT = 8192


def write_slow_model(path):
    """Write a model of 34 million parameters: it reads some hundreds of tokens a second."""
    random = np.random.default_rng(1)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("slow")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_context_length(_CONTEXT)
    writer.add_embedding_length(_WIDTH)
    writer.add_block_count(_LAYERS)
    writer.add_feed_forward_length(_FEED_FORWARD)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_rope_dimension_count(_WIDTH // _HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    size = tiny_model._add_vocabulary(writer)

    def matrix(rows, columns):
        return (random.standard_normal((rows, columns), np.float32) * 0.05).astype(np.float16)

    writer.add_tensor("token_embd.weight", matrix(size, _WIDTH))
    writer.add_tensor("output.weight", matrix(size, _WIDTH))
    writer.add_tensor("output_norm.weight", np.ones(_WIDTH, np.float32))
    shapes = {
        **dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_output"), (_WIDTH, _WIDTH)),
        **dict.fromkeys(("ffn_gate", "ffn_up"), (_FEED_FORWARD, _WIDTH)),
        "ffn_down": (_WIDTH, _FEED_FORWARD),
    }
    for layer in range(_LAYERS):
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", np.ones(_WIDTH, np.float32))
        for name, shape in shapes.items():
            writer.add_tensor(f"blk.{layer}.{name}.weight", matrix(*shape))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class _Vision:
    """A projector that is being written: a vision transformer of random weights."""

    def __init__(self, path, kind, *, width, size, patch, inner, layers, heads):
        self._random = np.random.default_rng(3)
        self._writer = writer = gguf.GGUFWriter(path, "clip")
        writer.add_bool("clip.has_vision_encoder", True)
        writer.add_string("clip.projector_type", kind)
        writer.add_bool("clip.use_gelu", False)
        for name, value in {
            "embedding_length": inner,
            "feed_forward_length": 4 * inner,
            "block_count": layers,
            "projection_dim": width,
            "attention.head_count": heads,
            "image_size": size,
            "patch_size": patch,
        }.items():
            writer.add_uint32(f"clip.vision.{name}", value)
        writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-5)
        for name in ("image_mean", "image_std"):
            writer.add_array(f"clip.vision.{name}", [0.5, 0.5, 0.5])
        for layer in range(layers):
            self.add_norms(inner, f"v.blk.{layer}.ln1", f"v.blk.{layer}.ln2")
            for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
                self.add_layer(f"v.blk.{layer}.{name}", inner, inner)
            self.add_layer(f"v.blk.{layer}.ffn_up", 4 * inner, inner)
            self.add_layer(f"v.blk.{layer}.ffn_down", inner, 4 * inner)

    def add(self, name, *shape):
        values = self._random.standard_normal(shape) * 0.2
        self._writer.add_tensor(name, values.astype(np.float32))

    def add_layer(self, name, rows, columns):
        self.add(f"{name}.weight", rows, columns)
        self.add(f"{name}.bias", rows)

    def add_norms(self, inner, *names):
        for name in names:
            self._writer.add_tensor(f"{name}.weight", np.ones(inner, np.float32))
            self._writer.add_tensor(f"{name}.bias", np.zeros(inner, np.float32))

    def write(self):
        self._writer.write_header_to_file()
        self._writer.write_kv_data_to_file()
        self._writer.write_tensors_to_file()
        self._writer.close()


def write_projector(path, *, width=64, size=32, patch=8, inner=32, layers=2, heads=4):
    """Write a projector as LLaVA's: images of one size, the last layer left out.

    Args:
        path: The file to make.
        width: Of the language model's embeddings.
        size: Of images, in pixels, to which they are made.
        patch: Of the squares that become a token each.
        inner: Width of the vision transformer.
        layers: Of it.
        heads: Of its attention.
    """
    shape = {"width": width, "size": size, "patch": patch}
    vision = _Vision(path, "mlp", **shape, inner=inner, layers=layers, heads=heads)
    vision.add("v.class_embd", inner)
    vision.add("v.patch_embd.weight", inner, 3, patch, patch)
    vision.add("v.position_embd.weight", (size // patch) ** 2 + 1, inner)
    vision.add_norms(inner, "v.pre_ln")
    vision.add_layer("mm.0", width, inner)
    vision.add_layer("mm.2", width, width)
    vision.write()


def write_qwen2vl(model, projector):
    """Write a model whose positions have several dimensions, and its projector."""
    tiny_model.write_tiny_model(model, "qwen2vl", [2, 3, 3, 0])
    inner, width, patch = 32, tiny_model.WIDTH, 14
    shape = {"width": width, "size": 560, "patch": patch}
    vision = _Vision(projector, "qwen2vl_merger", **shape, inner=inner, layers=1, heads=4)
    vision.add("v.patch_embd.weight", inner, 3, patch, patch)
    vision.add("v.patch_embd.weight.1", inner, 3, patch, patch)
    vision.add_norms(inner, "v.post_ln")
    vision.add_layer("mm.0", 4 * inner, 4 * inner)
    vision.add_layer("mm.2", width, 4 * inner)
    vision.write()
