"""Make a language model that says nonsense in many scripts: real file, random weights.

The server under test only has to be a real one; what it says does not matter, as long as it comes
in every script, in characters that are put together from byte tokens, and in bytes that make no
character at all.  The random weights alone would give mostly such bytes, behind which the server
holds its text back.  So the first two dimensions are not random: dimension 0 is the same for every
token, which makes its column of the output a fixed bias of each token; dimension 1 is set for the
bytes that begin a character of two bytes, and makes the bytes that end one likely.

    python tests/llama/tiny_model.py tiny.gguf
"""

from __future__ import annotations

import sys
from pathlib import Path

import gguf
import numpy as np

CONTEXT = 512
WIDTH = 64
HEADS = 4
FEED_FORWARD = 128
LAYERS = 2
SEED = 20240229

_CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
_UNKNOWN, _BEGIN, _END = 0, 1, 2
_FIRST_BYTE = 3
_LATIN = (
    "the of and to in is you that it for on are as with they be at this from have or by one had "
    "not but what all were when we there can an your which their said if do will each about how "
    "up out them then she many some so these would other into has more her two like him see time "
    "could no make than first been its who now people my made over did down only way find use may "
    "water long little very after words called just where most know"
)
_PARTS = "ing ed er ly tion s e a i o u n t r é è ê ü ö ä ß ñ ç å ø ł ő ş ğ ı œ æ"  # noqa: RUF001 - scripts look alike
_OTHER_SCRIPTS = (
    "και το της είναι με από για ένα α β γ δ ε ω ή ώ ΐ",  # noqa: RUF001 - scripts look alike
    "и в не на что он как это все был я ты мы ё й щ ъ э ю слово дом",
    "من في على إلى هذا كان لا ما هو ا ب ت ث ج ح ش ض ظ غ ة ى ؟ ،",  # noqa: RUF001 - scripts look alike
    "के है में की से और यह हम तुम क्या अ आ इ क ख ग ि ी ् ं क्ष ज्ञ",
    "的 一 是 不 了 人 我 在 有 他 这 中 大 来 上 国 你好 世界 日本 語 の に は を です 한국 어 가",
    "😀 😂 🥲 ❤️ 👍🏽 👨‍👩‍👧 🇩🇪 🦙 🚀 🎉 🧠 ✨ 🏴 𝔘 𓀀",  # noqa: RUF001 - scripts look alike
)
_PUNCTUATION = "▁ . , ! ? : ; - ( ) [ ] { } < > / \\ \" ' ` * # % & + = | ~ 0 1 2 3 4 5 6 7 8 9"


def _pieces() -> list[str]:
    """Give the text pieces of the vocabulary, none twice."""
    words = [f"▁{word}" for word in _LATIN.split()]
    words += [f"▁{word}" for text in _OTHER_SCRIPTS[:4] for word in text.split()]
    for text in (_PUNCTUATION, _PARTS, *_OTHER_SCRIPTS):
        words += text.split()
    return list(dict.fromkeys([*words, "\n", "\t", "\r\n"]))


def _weights(size: int) -> dict[str, np.ndarray]:
    """Give all tensors; ``size`` is that of the vocabulary."""
    random = np.random.default_rng(SEED)

    def matrix(rows: int, columns: int, scale: float) -> np.ndarray:
        return (random.standard_normal((rows, columns)) * scale).astype(np.float32)

    lead_of_two = slice(_FIRST_BYTE + 0xC2, _FIRST_BYTE + 0xE0)
    continuation = slice(_FIRST_BYTE + 0x80, _FIRST_BYTE + 0xC0)
    embedding = matrix(size, WIDTH, 1.0)
    embedding[:, 0] = 4.0
    embedding[:, 1] = 0.0
    embedding[lead_of_two, 1] = 6.0
    output = matrix(size, WIDTH, 1.0 / np.sqrt(WIDTH))
    output[:, :2] = 0.0
    output[[_UNKNOWN, _BEGIN, _END], 0] = -4.0  # answers end where the request says
    output[_FIRST_BYTE : _FIRST_BYTE + 256, 0] = -0.5
    output[lead_of_two, 0] = -0.1
    output[continuation, 1] = 1.0
    tensors = {
        "token_embd.weight": embedding,
        "output_norm.weight": np.ones(WIDTH, np.float32),
        "output.weight": output,
    }
    for layer in range(LAYERS):
        block = {
            "attn_norm": np.ones(WIDTH, np.float32),
            "attn_q": matrix(WIDTH, WIDTH, 0.1),
            "attn_k": matrix(WIDTH, WIDTH, 0.1),
            "attn_v": matrix(WIDTH, WIDTH, 0.1),
            "attn_output": matrix(WIDTH, WIDTH, 0.1),
            "ffn_norm": np.ones(WIDTH, np.float32),
            "ffn_gate": matrix(FEED_FORWARD, WIDTH, 0.1),
            "ffn_up": matrix(FEED_FORWARD, WIDTH, 0.1),
            "ffn_down": matrix(WIDTH, FEED_FORWARD, 0.1),
        }
        block["attn_output"][:2] = 0.0  # no layer writes into the first two dimensions
        block["ffn_down"][:2] = 0.0
        tensors |= {f"blk.{layer}.{name}.weight": value for name, value in block.items()}
    return tensors


def _add_vocabulary(writer: gguf.GGUFWriter) -> int:
    """Write a vocabulary in SentencePiece's manner; give its size."""
    kinds = gguf.TokenType
    pieces = _pieces()
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
    types = [kinds.UNKNOWN, kinds.CONTROL, kinds.CONTROL]
    types += [kinds.BYTE] * 256 + [kinds.NORMAL] * len(pieces)
    scores = [0.0] * (3 + 256) + [-float(rank) for rank in range(len(pieces))]
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_unk_token_id(_UNKNOWN)
    writer.add_bos_token_id(_BEGIN)
    writer.add_eos_token_id(_END)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(True)
    writer.add_chat_template(_CHAT_TEMPLATE)
    writer.add_vocab_size(len(tokens))
    return len(tokens)


def write_tiny_model(
    path: Path, architecture: str = "llama", rope_sections: list[int] | None = None
) -> None:
    """Write the model as GGUF, less than a megabyte, the same on every machine.

    Args:
        path: The file to make.
        architecture: One with the tensors of llama.
        rope_sections: Of positions that have several dimensions.
    """
    writer = gguf.GGUFWriter(path, architecture)
    if rope_sections:
        writer.add_rope_dimension_sections(rope_sections)
    writer.add_name("tiny")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    size = _add_vocabulary(writer)
    for name, tensor in _weights(size).items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    write_tiny_model(Path(sys.argv[1]))
