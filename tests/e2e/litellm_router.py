"""Queries a model through the router of LiteLLM's proxy: with its configuration, the model and a prompt.
LiteLLM must recognize a prompt that is too long, because its fallbacks to models with a longer context depend
on it."""

import sys
from pathlib import Path

import litellm
import yaml
from litellm import Router

litellm.suppress_debug_info = True
configuration, model, prompt = sys.argv[1:]
router = Router(model_list=yaml.safe_load(Path(configuration).read_text())["model_list"], num_retries=0)
messages = [{"role": "user", "content": prompt}]
answer = router.completion(model=f"tunery/{model}", messages=messages, max_tokens=16, temperature=0)
print(answer.choices[0].message.content)
try:
    router.completion(model=f"tunery/{model}", messages=messages, max_tokens=1_000_000)
except litellm.ContextWindowExceededError:
    pass
else:
    sys.exit("LiteLLM took no notice of the model's context length.")
