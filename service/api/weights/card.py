"""The README.md of downloaded weights: a model card in the Hugging Face Hub's format."""

from typing import Literal

from cluster.contracts.bases import BaseSpec, HubSource, WeightsForm
from cluster.contracts.manifest import Manifest

CARD_NAME = "README.md"

FolderForm = WeightsForm | Literal["gguf"]
"""The kind of files in a download."""

_ADAPTER = """\
```python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base = AutoModelForCausalLM.from_pretrained("{base}"{revision})
model = PeftModel.from_pretrained(base, "path/to/this/folder")
tokenizer = AutoTokenizer.from_pretrained("{base}"{revision})
```
"""

_FULL = """\
```python
from transformers import {kind}, AutoTokenizer

model = {kind}.from_pretrained("path/to/this/folder")
tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")
```
"""

_GGUF = """\
```sh
llama-server --model path/to/this/folder/model-….gguf
```

If there are several files, name the first one.
"""

_PREFIX = """\
`prefix.safetensors` holds the keys and values that the model reads before every prompt: `keys.<layer>` and
`values.<layer>`, each of shape (heads, tokens, head dimension). Pass them to the base as `past_key_values`.
"""


def model_card(name: str, manifest: Manifest, base: BaseSpec | None, form: FolderForm | None = None) -> str:
    """Describes where the weights come from, and how to load them. `base` is None if it has left the
    catalogue, and `form` if the weights are as they were trained."""
    form = form or manifest.form
    source = base.source if base is not None else None
    hub = source if isinstance(source, HubSource) else None
    place = hub.repository if hub else "path/to/the/base"
    revision = f', revision="{hub.revision}"' if hub else ""
    is_adapter = form in ("lora", "qlora")
    head = [f"base_model: {hub.repository}"] if hub else []
    library = "peft" if is_adapter else "gguf" if form == "gguf" else "transformers"
    head += [f"library_name: {library}", "tags:", "- tunery"]
    if is_adapter:
        usage = _ADAPTER.format(base=place, revision=revision)
    elif form == "prefix":
        usage = _PREFIX
    elif form == "gguf":
        usage = _GGUF
    else:
        usage = _FULL.format(kind=_auto_class(base))
    return "\n".join(
        ["---", *head, "---", "", f"# {name}", "", *_table(manifest, hub), "", "## Use", "", usage]
    )


def _auto_class(base: BaseSpec | None) -> str:
    is_encoder = base is not None and base.architecture == "encoder"
    return "AutoModelForSequenceClassification" if is_encoder else "AutoModelForCausalLM"


def _table(manifest: Manifest, hub: HubSource | None) -> list[str]:
    rows = [
        ("Base model", f"`{manifest.base_alias}`"),
        ("Base weights, SHA-256", f"`{manifest.base_digest}`"),
        ("Chat template, SHA-256", f"`{manifest.template_sha256}`"),
    ]
    if (config := manifest.config) is None:
        rows.append(("Trained", f"elsewhere; imported as `{manifest.job_id}`"))
    else:
        rows += [
            ("Training file, SHA-256", f"`{manifest.data_sha256}`"),
            ("Method", f"{config.method}, {config.peft_type or config.type}"),
            ("Step", f"{manifest.step} of {manifest.total_steps}"),
            (
                "Learning rate, batch size, seed",
                f"{config.learning_rate:g}, {config.batch_size}, {config.seed}",
            ),
        ]
    if hub is not None:
        rows.insert(1, ("From", f"`{hub.repository}` at `{hub.revision}`"))
    if manifest.form == "qlora":
        rows.append(("Served on", "the base in 4 bits (NF4)"))
    return ["| | |", "| --- | --- |", *(f"| {title} | {value} |" for title, value in rows)]
