"""The manifest that turns a set of stored files into a checkpoint. It is written last: without a manifest,
there is no checkpoint."""

from pydantic import AliasChoices, Field

from cluster.contracts.bases import WeightsForm
from cluster.contracts.frozen import FrozenModel
from cluster.contracts.hyperparameters import TrainingConfig
from cluster.contracts.provenance import Environment, Provenance


class ManifestFile(FrozenModel):
    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,200}$")
    """Relative to the manifest's own key prefix; without folders."""
    bytes: int
    sha256: str


class ProbeScores(FrozenModel):
    """What one model computes for the probe's rows."""

    logprobs: list[list[float]]
    """log p(token_ids[i][j+1] | token_ids[i][:j+1]), one value shorter than its row. For an encoder:
    log-probabilities of the classes, for the text or token by token."""
    top_ids: list[list[int]] = []
    """The most likely token at each of those places. Empty for an encoder, and in manifests of earlier
    releases."""


class Probe(ProbeScores):
    """Held-out rows with the trainer's scores of the tuned model. Serving must agree before the model is
    published."""

    token_ids: list[list[int]]
    base: ProbeScores | None = None
    """Scores of the same rows by the base alone, in 4 bits if the adapter is served on that. How much serving
    differs there is its noise. None for an encoder, whose base has no classes, and in manifests of earlier
    releases."""


class AnswerPrompt(FrozenModel):
    """A training prompt whose answer ended with a stop token that was trained on."""

    token_ids: list[int]
    answer_tokens: int
    """Length of the answer, including its stop token."""


class Manifest(FrozenModel):
    """`manifest.json` of a checkpoint."""

    format: int = 1
    job_id: str
    """Id of the job, or of the import, that made the weights."""
    attempt: int
    step: int
    total_steps: int
    epoch: float
    form: WeightsForm = Field(validation_alias=AliasChoices("form", "type"))
    base_alias: str
    base_digest: str
    """SHA-256 over the base's weight files. An adapter fits no other base."""
    data_sha256: str | None
    """SHA-256 of the training file's bytes. None for imported weights."""
    validation_sha256: str | None = None
    general_sha256: str | None = None
    """SHA-256 of the validation file's bytes, and of those of the owner's general set."""
    parent_sha256: str | None = None
    """SHA-256 of the manifest of the tuned weights that the job started from."""
    template_sha256: str
    """SHA-256 of the chat template's text. Serving must render with the same template."""
    environment: Environment | None = None
    config: TrainingConfig | None
    """None for imported weights."""
    files: list[ManifestFile]
    """Weights in the native format of PEFT (lora) or transformers (full), and the state that a resume needs.
    Prefix: `prefix.safetensors` with `keys.<layer>` and `values.<layer>` of shape (heads, tokens, head
    dimension)."""
    probe: Probe
    answer_prompts: list[AnswerPrompt] = []
    """A few prompts. Publishing checks that the model ends its answer to one of them by itself."""


def provenance_of(manifest: Manifest) -> Provenance:
    return Provenance(
        base=manifest.base_alias,
        base_sha256=manifest.base_digest,
        template_sha256=manifest.template_sha256,
        training_sha256=manifest.data_sha256,
        validation_sha256=manifest.validation_sha256,
        general_sha256=manifest.general_sha256,
        parent_sha256=manifest.parent_sha256,
        config=manifest.config,
        environment=manifest.environment,
    )


def weight_file_names(manifest: Manifest) -> list[str]:
    """Returns the files that serving needs, without the optimizer and random state of a resume."""
    return [file.name for file in manifest.files if not is_resume_file(file.name)]


def is_resume_file(name: str) -> bool:
    """Whether the file is only needed to resume the run. Such files may be deleted from storage once the job
    has ended."""
    return name.startswith("resume")
