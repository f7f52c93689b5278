"""Asks a model through what LiteLLM's proxy routes with: its configuration, the model and a prompt."""

import sys
from pathlib import Path

import litellm
import yaml
from litellm import Router

litellm.suppress_debug_info = True
configuration, model, prompt = sys.argv[1:]
router = Router(model_list=yaml.safe_load(Path(configuration).read_text())["model_list"])
messages = [{"role": "user", "content": prompt}]
answer = router.completion(model=f"tunery/{model}", messages=messages, max_tokens=16, temperature=0)
print(answer.choices[0].message.content)
