"""Make a model of a few letters and serve it with vLLM: ``python serve.py FOLDER PORT``."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

BEGIN, END = "<|begin|>", "<|end|>"
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant: "
)

folder, port = Path(sys.argv[1]), sys.argv[2]
vocabulary = [*sorted(pre_tokenizers.ByteLevel.alphabet()), BEGIN, END]  # a token is a byte
ids = {token: at for at, token in enumerate(vocabulary)}
tokenizer = Tokenizer(models.BPE(vocab=ids, merges=[]))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
PreTrainedTokenizerFast(
    tokenizer_object=tokenizer, bos_token=BEGIN, eos_token=END, chat_template=TEMPLATE
).save_pretrained(folder)
config = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": len(vocabulary),
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "bos_token_id": ids[BEGIN],
    "eos_token_id": ids[END],
}
(folder / "config.json").write_text(json.dumps(config), "utf-8")
options = [
    *("--host", "127.0.0.1", "--port", port, "--served-model-name", "tiny"),
    *("--load-format", "dummy", "--dtype", "float32", "--enforce-eager"),
    *("--max-model-len", "512", "--max-num-seqs", "4"),
    *("--enable-auto-tool-choice", "--tool-call-parser", "hermes"),
]
program = [sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", str(folder), *options]
os.execv(sys.executable, program)  # a signal reaches vLLM itself
