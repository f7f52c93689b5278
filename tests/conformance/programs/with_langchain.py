"""Asks a tuned model through LangChain. Reads and prints JSON."""

import json
import sys

from langchain_openai import ChatOpenAI
from pydantic import BaseModel


class Order(BaseModel):
    number: int


given = json.load(sys.stdin)
chat = ChatOpenAI(
    model=given["model"], base_url=given["base_url"], api_key=given["api_key"], max_tokens=16, temperature=0
)
whole = chat.invoke(given["prompt"])
streamed = "".join(str(chunk.content) for chunk in chat.stream(given["prompt"]))
stateless = ChatOpenAI(
    model=given["model"],
    base_url=given["base_url"],
    api_key=given["api_key"],
    max_tokens=16,
    temperature=0,
    use_responses_api=True,
)
order = chat.with_structured_output(Order, method="json_schema").invoke(given["prompt"])
print(
    json.dumps(
        {
            "whole": whole.content,
            "streamed": streamed,
            "by_responses": stateless.invoke(given["prompt"]).text,
            "number": order.number,
        }
    )
)
