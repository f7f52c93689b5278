"""The general set, which shows what a model could do before it was tuned. Forgetting is measured on it."""

from pathlib import Path

GENERAL_SET: Path = Path(__file__).parent / "tiny" / "general.jsonl"
"""64 short chats in the format of training files: copying, look-up, rewriting, sorting, lists, tool calls and
greetings. The built-in model was pre-trained on such chats, but has not seen these values."""
