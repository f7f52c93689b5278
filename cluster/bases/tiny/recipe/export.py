"""Writes a checkpoint in transformers' format: `python -m cluster.bases.tiny.recipe.export --work DIR`."""

import argparse
import shutil
from pathlib import Path

import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from cluster.bases.tiny.recipe import shape
from cluster.bases.tiny.recipe.network import TinyLlama, to_llama_state
from cluster.bases.tiny.recipe.tokenizer import END, PAD

WEIGHTS = Path(__file__).parents[1] / "weights"


def llama_config() -> LlamaConfig:
    """The tiny model's shape as a transformers configuration."""
    return LlamaConfig(
        vocab_size=shape.VOCAB,
        hidden_size=shape.HIDDEN,
        intermediate_size=shape.MLP,
        num_hidden_layers=shape.LAYERS,
        num_attention_heads=shape.HEADS,
        num_key_value_heads=shape.HEADS,
        head_dim=shape.HEAD_DIM,
        max_position_embeddings=shape.CONTEXT,
        rms_norm_eps=shape.NORM_EPS,
        rope_parameters={"rope_type": "default", "rope_theta": shape.ROPE_THETA},
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=END,
        pad_token_id=PAD,
        dtype="bfloat16",
    )


def to_llama(model: TinyLlama) -> LlamaForCausalLM:
    """Converts the network to transformers' model, in bf16."""
    llama = LlamaForCausalLM(llama_config()).to(torch.bfloat16)
    llama.load_state_dict(to_llama_state(model))
    llama.generation_config = GenerationConfig(eos_token_id=END, pad_token_id=PAD, do_sample=False)
    return llama


def export(work: Path, folder: Path) -> None:
    """Writes the last checkpoint of `work`, its tokenizer and its chat template into `folder`."""
    model = TinyLlama()
    model.load_state_dict(torch.load(work / "checkpoint.pt")["model"])
    to_llama(model).save_pretrained(folder)
    shutil.copytree(work / "tokenizer", folder, dirs_exist_ok=True)


def main() -> None:
    """Reads the command line and exports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="the pre-training's folder")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    arguments = parser.parse_args()
    export(arguments.work, arguments.out)


if __name__ == "__main__":
    main()
