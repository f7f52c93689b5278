"""Loads encoders."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, AutoModelForSequenceClassification, AutoModelForTokenClassification

from cluster.bases.pretrained import LOADING, read_config, read_tokenizer
from cluster.bases.resolve import base_folder
from cluster.contracts.bases import BaseSpec
from cluster.contracts.errors import CorruptArtefact
from cluster.contracts.generation import ModelRef
from cluster.serving.encoders.encoder import Encoder, InputKind
from cluster.serving.residency.footprint import stored_bytes
from cluster.serving.residency.loading import base_digests
from cluster.serving.weights.folder import WeightsFolder

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_HEADS: dict[InputKind, Any] = {
    "texts": AutoModelForSequenceClassification,
    "words": AutoModelForTokenClassification,
}


def expected_bytes(base: BaseSpec) -> int:
    """Estimates the memory of the encoder or of one tuned from it; a classification head is small. Blocks."""
    folder = base_folder(base)
    config = read_config(folder)
    # Uses the meta device, because encoders are not packed.
    return stored_bytes(folder, config, _DTYPES[base.dtype], torch.device("meta"))


def load_encoder(weights: WeightsFolder, ref: ModelRef) -> Encoder:
    """Loads the encoder. Blocks. Raises what `WeightsFolder.lease` raises, and CorruptArtefact for weights
    that are missing or not finite."""
    base = base_folder(ref.base)
    tokenizer = read_tokenizer(base)
    input_kind: InputKind | None = None
    if ref.adapter is None:
        model = _load(AutoModel, base, ref)
    else:
        with weights.lease(ref.adapter, **base_digests(base, tokenizer)) as folder:
            input_kind = _input_kind(folder)
            model = _load(_HEADS[input_kind], folder, ref)
    return Encoder(model, tokenizer, base=base, context_length=ref.base.context_length, input_kind=input_kind)


def _load(kind: Any, folder: Path, ref: ModelRef) -> Any:
    with LOADING:
        model, loading = kind.from_pretrained(
            folder,
            dtype=_DTYPES[ref.base.dtype],
            trust_remote_code=False,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
    name = ref.adapter.digest if ref.adapter else ref.base.alias
    # Missing weights would be random. Bases may lack BERT's pooler, which is not used here.
    missing = [key for key in loading["missing_keys"] if ref.adapter or not key.startswith("pooler.")]
    if missing:
        raise CorruptArtefact(f"The files of the model {name} lack {', '.join(sorted(missing)[:3])}.")
    for key, parameter in model.named_parameters():
        if not bool(parameter.isfinite().all()):
            raise CorruptArtefact(f"{key} of the model {name} holds numbers that are not finite.")
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval().requires_grad_(False)


def _input_kind(folder: Path) -> InputKind:
    architecture = read_config(folder).architectures[0]
    return "words" if str(architecture).endswith("ForTokenClassification") else "texts"
