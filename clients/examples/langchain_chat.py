"""Asks a tuned model through LangChain: whole, streamed, by the Responses API and for structured output.

pip install langchain-openai && python clients/examples/langchain_chat.py MODEL PROMPT
"""

import sys

from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field


class Order(BaseModel):
    # Without a bound, a model may write digits until its limit of tokens.
    number: int = Field(ge=0, le=999)


model, prompt = sys.argv[1:]
settings = {"model": model, "max_tokens": 16, "temperature": 0}
chat = ChatOpenAI(**settings)  # OPENAI_BASE_URL and OPENAI_API_KEY say which server
print(chat.invoke(prompt).content)
print("".join(str(chunk.content) for chunk in chat.stream(prompt)))
print(ChatOpenAI(**settings, use_responses_api=True).invoke(prompt).text)
print(chat.with_structured_output(Order, method="json_schema").invoke(prompt).model_dump_json())
