"""Finds which variables of a chat template a request may set.

Templates have switches such as `enable_thinking`. A request may set those that its base's template reads, to
values that cannot carry text into the prompt."""

from collections.abc import Mapping
from functools import cached_property

from jinja2 import TemplateError, meta, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from cluster.contracts.errors import InvalidRequest

Options = Mapping[str, bool | str]

_WORDS: dict[str, frozenset[str]] = {
    "reasoning_effort": frozenset({"none", "minimal", "low", "medium", "high", "xhigh"})
}
"""Variables that may be set to a word, with the allowed words. All other variables are switches."""

_RESERVED = frozenset(
    {
        "messages",
        "tools",
        "documents",
        "chat_template",
        "add_generation_prompt",
        "continue_final_message",
        "raise_exception",
        "strftime_now",
    }
)
"""Variables that the renderer sets itself. Those that end in `_token` belong to the tokenizer and are also
reserved."""


class TemplateOptions:
    """The variables that requests to one base may set."""

    def __init__(self, template: str) -> None:
        self._template = template

    @cached_property
    def names(self) -> frozenset[str]:
        """Variables that the template reads, except those that it or the renderer sets."""
        environment = ImmutableSandboxedEnvironment(extensions=[_Generation, loopcontrols])
        try:
            read = meta.find_undeclared_variables(environment.parse(self._template))
        except TemplateError:  # A template that is not valid refuses every conversation itself.
            return frozenset()
        known = _RESERVED | environment.globals.keys()
        return frozenset(name for name in read - known if not name.endswith(("_token", "_tokens")))

    def check(self, options: Options) -> None:
        """Raises InvalidRequest, with the option's name, for an option that is not allowed."""
        for name, value in options.items():
            param = f"chat_template_kwargs.{name}"
            if name not in self.names:
                known = ", ".join(sorted(self.names)) or "none"
                raise InvalidRequest(
                    f"This model's chat template has no option '{name:.64}'. Its options: {known:.400}.",
                    code="unsupported_parameter",
                    param=param,
                )
            words = _WORDS.get(name, frozenset())
            if isinstance(value, str) and value not in words:
                allowed = ", ".join(["true", "false", *sorted(words)])
                raise InvalidRequest(f"'{param}' must be one of: {allowed}.", param=param)


class _Generation(Extension):
    """Reads transformers' `{% generation %}` blocks, only to find variables in them."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)
