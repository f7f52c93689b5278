"""Names that other formats and programs use for the roles of OpenAI's messages."""

ROLES = {
    **dict.fromkeys(("system", "context"), "system"),
    "developer": "developer",
    **dict.fromkeys(("user", "human", "prompter", "instruction", "customer"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bot", "model", "bing", "bard", "claude"), "assistant"),
    **dict.fromkeys(("tool", "function", "observation", "function_response", "tool_response"), "tool"),
    **dict.fromkeys(("function_call", "tool_call"), "function_call"),
}
