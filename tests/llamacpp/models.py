"""Models for the tests beside the tiny one: one that reads slowly, and one that makes vectors."""

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
