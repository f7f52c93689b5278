"""Chat templates with the forms of tool calls that popular models are trained with."""


def _turns(message: str) -> str:
    """A template in which `message` renders the content of one message."""
    return (
        "{%- if tools -%}{{- '<|system|>' + (tools | tojson) + '<|end|>' -}}{%- endif -%}"
        "{%- for message in messages -%}{{- '<|' + message.role + '|>' -}}"
        f"{message}"
        "{{- '<|end|>\\n' -}}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
    )


TAGGED_LINES = _turns("""\
{{- message.content -}}
{%- for call in message.tool_calls or [] -%}
{%- if not loop.first or message.content -%}{{- '\n' -}}{%- endif -%}
{{- '<tool_call>\n{"name": "' + call.function.name + '", "arguments": ' -}}
{{- (call.function.arguments | tojson) + '}\n</tool_call>' -}}
{%- endfor -%}""")
"""Like Qwen and Hermes: each call in a tag, with or without text."""

BARE_OBJECT = _turns("""\
{%- if message.tool_calls -%}
{%- if message.tool_calls | length != 1 -%}{{- raise_exception('one call at a time') -}}{%- endif -%}
{%- set call = message.tool_calls[0].function -%}
{{- '{"name": "' + call.name + '", "parameters": ' + (call.arguments | tojson) + '}' -}}
{%- else -%}{{- message.content -}}{%- endif -%}""")
"""Like Llama 3: a bare object, one call per answer."""

LIST_WITH_IDS = _turns("""\
{%- if message.tool_calls -%}{{- '<|calls|>[' -}}
{%- for call in message.tool_calls -%}
{{- '{"name": "' + call.function.name + '", "arguments": ' + (call.function.arguments | tojson) -}}
{{- ', "id": "' + call.id + '"}' -}}
{%- if not loop.last -%}{{- ', ' -}}{%- endif -%}
{%- endfor -%}{{- ']' -}}
{%- else -%}{{- message.content -}}{%- endif -%}""")
"""Like Mistral: a special token, then a list; the model generates ids."""

MARKDOWN = _turns("""\
{{- message.content -}}
{%- if message.tool_calls -%}{{- '<|calls|>' -}}
{%- for call in message.tool_calls -%}
{{- '<|call|>' + call.function.name + '\n```json\n' -}}
{{- (call.function.arguments | tojson) + '\n```<|/call|>' -}}
{%- endfor -%}{{- '<|/calls|>' -}}{%- endif -%}""")
"""Like DeepSeek: special tokens around names and fenced objects."""

THINKING = _turns("""\
{%- if message.role == 'assistant' -%}{{- '<think>\n\n</think>\n\n' -}}{%- endif -%}
{{- message.content -}}
{%- for call in message.tool_calls or [] -%}
{{- '<tool_call>{"name": "' + call.function.name + '", "arguments": ' -}}
{{- (call.function.arguments | tojson) + '}</tool_call>' -}}
{%- endfor -%}""")
"""Like Qwen 3: an answer begins with thoughts, which are empty if the conversation has none."""

FORMS = {
    "tagged lines": TAGGED_LINES,
    "bare object": BARE_OBJECT,
    "list with ids": LIST_WITH_IDS,
    "markdown": MARKDOWN,
    "thinking": THINKING,
}
SPECIAL = ["<|calls|>", "<|call|>", "<|/call|>", "<|/calls|>"]

PARAMETERS_AS_TAGS = _turns("""\
{{- message.content -}}
{%- for call in message.tool_calls or [] -%}
{{- '<function=' + call.function.name + '>' -}}
{%- for key, value in call.function.arguments.items() -%}
{{- '<parameter=' + key + '>' + (value | string) + '</parameter>' -}}
{%- endfor -%}{{- '</function>' -}}
{%- endfor -%}""")
"""Like Qwen's coder models: no JSON."""

NO_TOOLS = _turns("{{- message.content -}}")
