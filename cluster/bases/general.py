"""The general set: what a model could do before it was tuned, on which forgetting is measured."""

from pathlib import Path

GENERAL_SET: Path = Path(__file__).parent / "tiny" / "general.jsonl"
"""64 short chats, in the format of training files: copying, look-up, rewriting, sorting, lists, tool calls
and greetings, as the built-in model was pre-trained on, with values that it has not seen."""
