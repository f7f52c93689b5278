"""Writes the benchmark's model and adapters for llama.cpp, as GGUF files.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFWriter
from safetensors.numpy import load_file
from transformers import LlamaConfig

from tests.benchmarks.serving.prepare import adapter_folder
from tests.benchmarks.serving.task import Task

_LAYERS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
_OTHERS = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def write_base(task: Task, path: Path) -> None:
    config = LlamaConfig.from_pretrained(f"{task.folder}/base")
    writer = GGUFWriter(path, "llama")
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    # Prompts and answers are token ids, so no tokenizer is needed.
    writer.add_tokenizer_model("none")
    for name, tensor in load_file(f"{task.folder}/base/model.safetensors").items():
        module = name.removesuffix(".weight")
        writer.add_tensor(f"{_name(module)}.weight", _in_pairs(module, tensor, config))
    _write(writer)


def write_adapter(task: Task, number: int, path: Path) -> None:
    """llama.cpp scales every layer's update by alpha / rank."""
    config = LlamaConfig.from_pretrained(f"{task.folder}/base")
    folder = adapter_folder(task, number)
    writer = GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    alpha = json.loads((folder / "adapter_config.json").read_text())["lora_alpha"]
    writer.add_float32("adapter.lora.alpha", alpha)
    for name, tensor in load_file(folder / "adapter_model.safetensors").items():
        module, _, half = name.removeprefix("base_model.model.").removesuffix(".weight").rpartition(".lora_")
        if half == "A":
            writer.add_tensor(f"{_name(module)}.weight.lora_a", tensor)
        else:
            writer.add_tensor(f"{_name(module)}.weight.lora_b", _in_pairs(module, tensor, config))
    _write(writer)


def _name(module: str) -> str:
    if module in _OTHERS:
        return _OTHERS[module]
    number, _, layer = module.removeprefix("model.layers.").partition(".")
    return f"blk.{number}.{_LAYERS[layer]}"


def _in_pairs(module: str, weight: np.ndarray, config: Any) -> np.ndarray:
    """Reorders rows: llama.cpp rotates neighbouring pairs, transformers the two halves of a head."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    if (count := heads.get(module.rpartition(".")[2])) is None:
        return weight
    height, width = weight.shape
    halves = weight.reshape(count, 2, height // count // 2, width)
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(height, width))


def _write(writer: GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
