"""How to query a model: the text that `tunery run` prints at its end."""

import json

_MESSAGE = "Hello"


def how_to_ask(model: str, base_url: str) -> str:
    """Commands to paste: for the command line, for curl and for OpenAI's SDK."""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": _MESSAGE}]})
    return f"""\
tunery chat {model}

curl {base_url}/chat/completions -H "Authorization: Bearer $TUNERY_API_KEY" \\
  -H "Content-Type: application/json" -d '{body}'

import os
from openai import OpenAI
client = OpenAI(base_url="{base_url}", api_key=os.environ["TUNERY_API_KEY"])
client.chat.completions.create(model="{model}", messages=[{{"role": "user", "content": "{_MESSAGE}"}}])"""
