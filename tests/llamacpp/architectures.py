"""Models of several architectures and tokenizers: real files, small, of random weights."""

from __future__ import annotations

import gguf
import numpy as np
from llama import tiny_model

WIDTH = 64
HEADS = 4
HEAD = WIDTH // HEADS
FEED_FORWARD = 128
LAYERS = 2
CONTEXT = 512
INNER, STATE, RANK, KERNEL = 128, 8, 4, 4  # of mamba
KINDS = gguf.TokenType
WORDS = ["the", "sky", "is", "blue", "hello", "world", "number", "user", "assistant"]
# As Qwen3's, in short: tools, calls, their results, thoughts that may be switched off.
QWEN = """\
{%- if tools %}<|im_start|>system
# Tools
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}<|im_end|>
{% endif -%}
{%- for message in messages %}
{%- if message.role == 'tool' %}<|im_start|>user
<tool_response>{{ message.content }}</tool_response><|im_end|>
{% else %}<|im_start|>{{ message.role }}
{{ message.content }}
{%- for call in message.tool_calls %}<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>{% endfor %}<|im_end|>
{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% if enable_thinking is defined and enable_thinking is false %}<think>

</think>

{% else %}<think>
{% endif %}{% endif -%}
"""
PLAIN = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)


def bytes_as_characters():
    """GPT-2's way to write each byte as a character that can be seen."""
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte if byte in seen else next(others)) for byte in range(256)]


def add_bpe(writer, pre):
    """Write a vocabulary of byte pairs; return its size."""
    tokens, merges = bytes_as_characters(), []
    for word in [*WORDS, *(f"Ġ{word}" for word in WORDS)]:
        said = word[0]
        for letter in word[1:]:
            if said + letter not in tokens:
                merges.append(f"{said} {letter}")
                tokens.append(said + letter)
            said += letter
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    own = ["<think>", "</think>", "<tool_call>", "</tool_call>"]
    types = [KINDS.NORMAL] * len(tokens) + [KINDS.CONTROL] * 3 + [KINDS.USER_DEFINED] * len(own)
    tokens += [*special, *own]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_bos_token_id(tokens.index("<|endoftext|>"))
    writer.add_add_bos_token(False)
    writer.add_vocab_size(len(tokens))
    writer.add_chat_template(QWEN if pre == "qwen2" else PLAIN)
    return len(tokens)


def add_wpm(writer):
    """Write a vocabulary of word pieces, as BERT has; return its size."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [chr(code) for code in range(97, 123)]
    words = [*WORDS, *letters, ".", ",", "日", "本"]
    tokens = [*special, *(f"▁{word}" for word in words), *letters, "ing", "ed"]
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types([KINDS.CONTROL] * 5 + [KINDS.NORMAL] * (len(tokens) - 5))
    writer.add_token_type_count(2)
    writer.add_unk_token_id(1)
    writer.add_bos_token_id(2)
    writer.add_sep_token_id(3)
    writer.add_pad_token_id(0)
    writer.add_mask_token_id(4)
    writer.add_vocab_size(len(tokens))
    return len(tokens)


def add_ugm(writer):
    """Write a unigram vocabulary, as XLM-R has; return its size."""
    letters = [chr(code) for code in range(97, 123)]
    pieces = [*(f"▁{word}" for word in WORDS), *letters, "▁", ".", "日", "本", "語"]
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *pieces]
    types = [KINDS.CONTROL] * 3 + [KINDS.UNKNOWN] + [KINDS.NORMAL] * len(pieces)
    writer.add_tokenizer_model("t5")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_scores([0.0] * 4 + [-1.0 - index / 8 for index in range(len(pieces))])
    writer.add_token_type_count(1)
    writer.add_bos_token_id(0)
    writer.add_pad_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(3)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(True)
    writer.add_add_space_prefix(True)
    writer.add_remove_extra_whitespaces(True)
    writer.add_vocab_size(len(tokens))
    return len(tokens)


class Weights:
    """Random ones, the same on every machine, and the same names for the same things."""

    def __init__(self, writer):
        self._writer = writer
        self._random = np.random.default_rng(7)

    def add(self, name, *shape, scale=0.2):
        data = self._random.standard_normal(shape) * scale
        self._writer.add_tensor(name, data.astype(np.float32))

    def ones(self, name, size=WIDTH, value=1.0):
        self._writer.add_tensor(name, np.full(size, value, np.float32))

    def dense(self, name, rows, columns, *, bias=True):
        self.add(f"{name}.weight", rows, columns)
        if bias:
            self.add(f"{name}.bias", rows)

    def norm(self, name):
        self.ones(f"{name}.weight")
        self.add(f"{name}.bias", WIDTH, scale=0.02)


def add_gated(weights, name, layer):
    """Write a layer of llama and its kin."""
    block = f"blk.{layer}"
    for norm in ("attn_norm", "ffn_norm"):
        weights.ones(f"{block}.{norm}.weight")
    for part in "qkv":
        weights.dense(f"{block}.attn_{part}", WIDTH, WIDTH, bias=name == "qwen2")
    if name == "qwen3":
        for part in "qk":
            weights.ones(f"{block}.attn_{part}_norm.weight", HEAD)
    weights.add(f"{block}.attn_output.weight", WIDTH, WIDTH)
    for part in ("gate", "up"):
        weights.add(f"{block}.ffn_{part}.weight", FEED_FORWARD, WIDTH)
    weights.add(f"{block}.ffn_down.weight", WIDTH, FEED_FORWARD)


def add_gpt2(weights, layer):
    """Write a layer of GPT-2."""
    block = f"blk.{layer}"
    weights.norm(f"{block}.attn_norm")
    weights.norm(f"{block}.ffn_norm")
    weights.dense(f"{block}.attn_qkv", 3 * WIDTH, WIDTH)
    weights.dense(f"{block}.attn_output", WIDTH, WIDTH)
    weights.dense(f"{block}.ffn_up", FEED_FORWARD, WIDTH)
    weights.dense(f"{block}.ffn_down", WIDTH, FEED_FORWARD)


def add_mamba(weights, layer):
    """Write a layer of Mamba: it keeps a state, of which no part can be taken back."""
    block = f"blk.{layer}"
    weights.ones(f"{block}.attn_norm.weight")
    weights.add(f"{block}.ssm_in.weight", 2 * INNER, WIDTH)
    weights.add(f"{block}.ssm_conv1d.weight", INNER, KERNEL)
    weights.add(f"{block}.ssm_conv1d.bias", INNER)
    weights.add(f"{block}.ssm_x.weight", RANK + 2 * STATE, INNER)
    weights.dense(f"{block}.ssm_dt", INNER, RANK)
    weights.ones(f"{block}.ssm_a", (INNER, STATE), -1.0)
    weights.ones(f"{block}.ssm_d", INNER)
    weights.add(f"{block}.ssm_out.weight", WIDTH, INNER)


def add_bert(weights, layer):
    """Write a layer of BERT."""
    block = f"blk.{layer}"
    for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
        weights.dense(f"{block}.{part}", WIDTH, WIDTH)
    weights.norm(f"{block}.attn_output_norm")
    weights.dense(f"{block}.ffn_up", FEED_FORWARD, WIDTH)
    weights.dense(f"{block}.ffn_down", WIDTH, FEED_FORWARD)
    weights.norm(f"{block}.layer_output_norm")


def write(path, name, vocabulary):
    """Write a model of an architecture (``"qwen3"``), with a vocabulary (``"bpe"``)."""
    writer = gguf.GGUFWriter(path, name)
    writer.add_name(f"{name} {vocabulary}")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(0 if name == "mamba" else FEED_FORWARD)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_layer_norm_eps(1e-5)
    if name != "mamba":
        writer.add_head_count(HEADS)
        writer.add_head_count_kv(HEADS)
        writer.add_key_length(HEAD)
        writer.add_value_length(HEAD)
        writer.add_rope_dimension_count(HEAD)
    if vocabulary == "spm":
        size = tiny_model._add_vocabulary(writer)
    elif vocabulary == "bpe":
        size = add_bpe(writer, "gpt-2" if name == "gpt2" else "qwen2")
    else:
        size = {"wpm": add_wpm, "ugm": add_ugm}[vocabulary](writer)
    weights = Weights(writer)
    weights.add("token_embd.weight", size, WIDTH, scale=0.5)
    if name in ("gpt2", "bert"):
        weights.add("position_embd.weight", CONTEXT, WIDTH)
    if name == "bert":
        writer.add_causal_attention(False)
        writer.add_pooling_type(gguf.PoolingType.MEAN)
        weights.add("token_types.weight", 2 if vocabulary == "wpm" else 1, WIDTH)
        weights.norm("token_embd_norm")
    elif name == "gpt2":
        weights.norm("output_norm")
    else:
        weights.ones("output_norm.weight")
    if name not in ("bert", "gemma"):  # whose output is the embedding
        weights.add("output.weight", size, WIDTH)
    if name == "mamba":
        writer.add_ssm_conv_kernel(KERNEL)
        writer.add_ssm_inner_size(INNER)
        writer.add_ssm_state_size(STATE)
        writer.add_ssm_time_step_rank(RANK)
    add = {"gpt2": add_gpt2, "mamba": add_mamba, "bert": add_bert}.get(name)
    for layer in range(LAYERS):
        add_gated(weights, name, layer) if add is None else add(weights, layer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
