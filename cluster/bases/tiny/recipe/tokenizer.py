"""The byte-level BPE tokenizer and the chat template.

Only lower-case words are merged with the space before them. Capitals, digits, quotes and currency signs
always start a new token, so that a copied value has the same tokens everywhere. Every digit is a token of its
own.
"""

from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

from cluster.bases.tiny.recipe.language import paragraphs
from cluster.bases.tiny.recipe.shape import CONTEXT, VOCAB
from cluster.bases.tiny.recipe.tasks import pretraining_chats

PAD, END, SYSTEM, USER, ASSISTANT, TOOL, TOOL_CALL = range(7)
SPECIAL_TOKENS = [
    "<|pad|>",
    "<|end|>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|tool|>",
    "<|tool_call|>",
]
PIECES = (
    r"\p{N}|\p{Lu}\p{Ll}*| ?\p{Ll}+|[$€£#@\"'(\[{<][^\s\p{L}\p{N}]*| ?[^\s\p{L}\p{N}$€£#@\"'(\[{<]+|\p{L}|\s"
)

CHAT_TEMPLATE = """\
{%- macro text(content) -%}
{%- if content is string -%}{{- content -}}
{%- elif content is iterable -%}{%- for part in content -%}{{- part['text'] -}}{%- endfor -%}
{%- endif -%}
{%- endmacro -%}
{%- if tools -%}
{{- '<|system|>' -}}
{%- if messages and messages[0]['role'] == 'system' -%}{{- text(messages[0]['content']) + '\\n' -}}{%- endif -%}
{{- 'Tools: ' + (tools | tojson) + '<|end|>' -}}
{%- endif -%}
{%- for message in messages -%}
{%- if message['role'] in ('system', 'developer') -%}
{%- if not (tools and loop.first) -%}{{- '<|system|>' + text(message['content']) + '<|end|>' -}}{%- endif -%}
{%- elif message['role'] == 'user' -%}{{- '<|user|>' + text(message['content']) + '<|end|>' -}}
{%- elif message['role'] == 'tool' -%}{{- '<|tool|>' + text(message['content']) + '<|end|>' -}}
{%- elif message['role'] == 'assistant' -%}
{{- '<|assistant|>' -}}
{%- generation -%}
{{- text(message['content']) -}}
{%- for call in message['tool_calls'] or [] -%}
{%- set function = call['function'] or call -%}
{{- '<|tool_call|>{"name": ' + (function['name'] | tojson) + ', "arguments": ' -}}
{%- if function['arguments'] is string -%}{{- function['arguments'] -}}
{%- else -%}{{- function['arguments'] | tojson -}}{%- endif -%}
{{- '}' -}}
{%- endfor -%}
{{- '<|end|>' -}}
{%- endgeneration -%}
{%- else -%}{{- raise_exception('The role must be system, developer, user, assistant or tool.') -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}
"""  # noqa: E501 - a line break would change the rendering's source


def train_tokenizer(seed: int) -> Tokenizer:
    """Trains a tokenizer of VOCAB tokens on generated chats and plain English. Deterministic by seed."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=VOCAB,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    chats = pretraining_chats(4000, seed)
    generated = [str(message["content"]) for chat in chats for message in chat.messages]
    tokenizer.train_from_iterator(generated + paragraphs(), trainer)
    tokenizer.add_tokens([AddedToken(SPECIAL_TOKENS[TOOL_CALL], special=False, normalized=False)])
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Writes tokenizer.json, tokenizer_config.json and chat_template.jinja for transformers."""
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=SPECIAL_TOKENS[PAD],
        eos_token=SPECIAL_TOKENS[END],
        additional_special_tokens=SPECIAL_TOKENS[SYSTEM:TOOL_CALL],
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )
    wrapped.save_pretrained(folder)
