"""The manifest that makes a set of stored files a checkpoint. Written last: no manifest, no checkpoint."""

from pydantic import AliasChoices, Field

from cluster.contracts.bases import WeightsForm
from cluster.contracts.frozen import FrozenModel
from cluster.contracts.hyperparameters import TrainingConfig


class ManifestFile(FrozenModel):
    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,200}$")
    """Relative to the manifest's own key prefix; no folders."""
    bytes: int
    sha256: str


class Probe(FrozenModel):
    """Held-out rows as the trainer scored them; serving must agree before the model is published."""

    token_ids: list[list[int]]
    logprobs: list[list[float]]
    """log p(token_ids[i][j+1] | token_ids[i][:j+1]), one shorter than its row; of an encoder, the classes'
    log-probabilities, of the text or of one token after the other."""


class AnswerPrompt(FrozenModel):
    """A training prompt whose answer ended with a token that stops generation, and was learned with it."""

    token_ids: list[int]
    answer_tokens: int
    """Of the answer, the one that ends it included."""


class Manifest(FrozenModel):
    """`manifest.json` of a checkpoint."""

    format: int = 1
    job_id: str
    attempt: int
    step: int
    total_steps: int
    epoch: float
    form: WeightsForm = Field(validation_alias=AliasChoices("form", "type"))
    base_alias: str
    base_digest: str
    """SHA-256 over the base's weight files; an adapter fits no other base."""
    data_sha256: str
    """Of the training file's bytes."""
    template_sha256: str
    """Of the chat template's text; serving must render with the same."""
    config: TrainingConfig
    files: list[ManifestFile]
    """Weights in PEFT's (lora) or transformers' (full) own format, beside the state that a resume needs.
    Prefix: `prefix.safetensors`, `keys.<layer>` and `values.<layer>` of (heads, tokens, head dimension)."""
    probe: Probe
    answer_prompts: list[AnswerPrompt] = []
    """A few; publishing checks that the model ends its answer to one of them by itself."""


def weight_file_names(manifest: Manifest) -> list[str]:
    """The files that serving needs, without the optimizer and random state of a resume."""
    return [file.name for file in manifest.files if not is_resume_file(file.name)]


def is_resume_file(name: str) -> bool:
    """Whether a checkpoint's file is for going on with its run, and not for serving: storage may not have it
    any more once the job has ended."""
    return name.startswith("resume")
