"""Makes tiny random models of all supported families from configurations, without downloads.

The models are narrow and shallow but keep the special features of their family: windows shorter than the
tests' texts, soft caps, multipliers, biases, learned positions, experts.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from cluster.contracts.bases import BaseSpec, FolderSource
from tests.family_support import DECODERS, ENCODERS
from tests.tiny_base import make_tokenizer

VOCAB = 352
WINDOW = 16
"""Width, in tokens, of layers with a sliding window."""
_CLASSES = ["[CLS]", "[SEP]", "[MASK]"]

_SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
_GATED = {**_SIZES, "intermediate_size": 64, "num_key_value_heads": 2, "initializer_range": 0.2}
_HYBRID = ["sliding_attention", "full_attention"]
LATENT = {
    **_GATED,
    "num_key_value_heads": 4,
    "q_lora_rank": 12,
    "kv_lora_rank": 10,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 6,
    "v_head_dim": 8,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "moe_intermediate_size": 16,
    "first_k_dense_replace": 1,
}
"""Multi-head latent attention."""
_PER_LAYER = {
    **_GATED,
    "num_hidden_layers": 4,
    "head_dim": 8,
    "sliding_window": WINDOW,
    "layer_types": _HYBRID * 2,
    "vocab_size_per_layer_input": VOCAB,
    "hidden_size_per_layer_input": 8,
    "num_kv_shared_layers": 2,
    "final_logit_softcapping": 3.0,
}
"""Embeddings of their own for each layer, and layers that read the keys and values of earlier ones."""
_MAMBA = {
    "mamba_n_heads": 8,
    "mamba_d_head": 8,
    "mamba_d_state": 8,
    "mamba_n_groups": 1,
    "mamba_chunk_size": 16,
}
_GEMMA_3 = {
    **_GATED,
    "head_dim": 8,
    "query_pre_attn_scalar": 8,
    "sliding_window": WINDOW,
    "layer_types": _HYBRID,
}
_Make = Callable[[dict[str, Any]], Any]


def _family(prefix: str, *, head: str = "ForCausalLM", config: str = "", **options: Any) -> _Make:
    """Makes transformers' `<prefix><head>` from its configuration class with `options`."""

    def make(common: dict[str, Any]) -> Any:
        made = getattr(transformers, config or f"{prefix}Config")(**options | common)
        return getattr(transformers, f"{prefix}{head}")(made)

    return make


def _with_images(common: dict[str, Any]) -> Any:
    """Gemma 3 in the form of its larger models: with a tower for images, whose layers have the same names as
    those of the text model."""
    text = transformers.Gemma3TextConfig(**_GEMMA_3 | common)
    vision = transformers.SiglipVisionConfig(
        **_SIZES, intermediate_size=64, image_size=28, patch_size=14, vision_use_head=False
    )
    config = transformers.Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4)
    return transformers.Gemma3ForConditionalGeneration(config)


FAMILIES: dict[str, _Make] = {
    "llama": _family("Llama", **_GATED),
    "qwen2": _family("Qwen2", **_GATED),
    "qwen3": _family(
        "Qwen3", **_GATED, head_dim=8, use_sliding_window=True, sliding_window=WINDOW, layer_types=_HYBRID
    ),
    "mistral": _family("Mistral", **_GATED, sliding_window=WINDOW),
    "gemma2": _family(
        "Gemma2",
        **_GATED,
        head_dim=8,
        query_pre_attn_scalar=8,
        sliding_window=WINDOW,
        layer_types=_HYBRID,
        # Low enough that the scores of a random model reach them.
        attn_logit_softcapping=2.0,
        final_logit_softcapping=3.0,
    ),
    "gemma3": _family("Gemma3", config="Gemma3TextConfig", **_GEMMA_3),
    "gemma3_images": _with_images,
    "phi": _family("Phi", **_SIZES, intermediate_size=64, initializer_range=0.2),
    "gpt2": _family("GPT2", head="LMHeadModel", n_embd=32, n_layer=2, n_head=4, initializer_range=0.2),
    "opt": _family("OPT", **_SIZES, ffn_dim=64, word_embed_proj_dim=32, init_std=0.2),
    "gpt_neox": _family("GPTNeoX", **_SIZES, intermediate_size=64, initializer_range=0.2),
    "falcon": _family("Falcon", **_SIZES, initializer_range=0.2),
    "falcon_new": _family(
        "Falcon", **_SIZES, new_decoder_architecture=True, num_kv_heads=2, bias=True, initializer_range=0.2
    ),
    "olmo": _family("Olmo", **_GATED),
    "granite": _family(
        "Granite",
        **_GATED,
        embedding_multiplier=3.0,
        logits_scaling=2.0,
        residual_multiplier=0.5,
        attention_multiplier=0.2,
    ),
    "qwen3_moe": _family(
        "Qwen3Moe", **_GATED, head_dim=8, moe_intermediate_size=32, num_experts=4, num_experts_per_tok=2
    ),
    "falcon_alibi": _family("Falcon", **_SIZES, alibi=True, initializer_range=0.2),
    "qwen3_next": _family(
        "Qwen3Next",
        **_GATED,
        head_dim=8,
        layer_types=["linear_attention", "full_attention"],
        linear_num_value_heads=4,
        linear_num_key_heads=2,
        linear_key_head_dim=8,
        linear_value_head_dim=8,
        moe_intermediate_size=32,
        shared_expert_intermediate_size=32,
        num_experts=4,
        num_experts_per_tok=2,
    ),
    "gpt_oss": _family(
        "GptOss",
        **_GATED,
        head_dim=8,
        sliding_window=WINDOW,
        layer_types=_HYBRID,
        num_local_experts=4,
        num_experts_per_tok=2,
    ),
    "deepseek_v3": _family("DeepseekV3", **LATENT),
    "gemma3n": _family("Gemma3n", config="Gemma3nTextConfig", **_PER_LAYER, laurel_rank=4),
    "gemma4": _family("Gemma4", config="Gemma4TextConfig", **_PER_LAYER, global_head_dim=16),
    "jamba": _family(
        "Jamba",
        **_GATED,
        num_experts=4,
        attn_layer_period=2,
        attn_layer_offset=1,
        expert_layer_period=2,
        expert_layer_offset=1,
        mamba_d_state=4,
        mamba_dt_rank=4,
    ),
    "falcon_h1": _family(
        "FalconH1",
        **_GATED,
        **_MAMBA,
        head_dim=8,
        mamba_d_ssm=64,
        embedding_multiplier=3.0,
        lm_head_multiplier=0.5,
        attention_out_multiplier=0.7,
        ssm_out_multiplier=1.5,
    ),
    "granitemoehybrid": _family(
        "GraniteMoeHybrid",
        **_GATED,
        **_MAMBA,
        layer_types=["mamba", "attention"],
        num_local_experts=4,
        num_experts_per_tok=2,
        shared_intermediate_size=32,
    ),
    "nemotron_h": _family(
        "NemotronH",
        **_GATED,
        head_dim=8,
        layers_block_type=["mamba", "attention", "mlp"],
        mamba_num_heads=8,
        mamba_head_dim=8,
        ssm_state_size=8,
        n_groups=1,
        chunk_size=16,
    ),
    "bert": _family("Bert", head="ForPreTraining", **_SIZES, intermediate_size=64, initializer_range=0.2),
    "modernbert": _family(
        "ModernBert",
        head="ForMaskedLM",
        **_SIZES,
        intermediate_size=64,
        initializer_range=0.2,
        local_attention=WINDOW,
        layer_types=_HYBRID,
    ),
}
assert FAMILIES.keys() == {*DECODERS, *ENCODERS}


def make_family(name: str, folder: Path, *, seed: int = 0, context_length: int = 128) -> BaseSpec:
    """Saves a random model of the family and a tokenizer into `folder` in transformers' format.

    Decoders get the tests' tokenizer with its chat template. Encoders get the same one with [CLS], [SEP] and
    [MASK] added; it puts [CLS] before and [SEP] after every text. Returns the model's catalogue entry.
    """
    is_encoder = name in ENCODERS
    tokenizer = make_tokenizer(VOCAB)
    if is_encoder:
        tokenizer = _encoders_tokenizer(tokenizer)
    common: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": context_length,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
    }
    if is_encoder:
        common |= {"cls_token_id": tokenizer.cls_token_id, "sep_token_id": tokenizer.sep_token_id}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = FAMILIES[name](common)
        _make_sensitive(model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return BaseSpec(
        alias=name.replace("_", "-"),
        source=FolderSource(path=str(folder)),
        context_length=context_length,
        learning_rates={"lora": 5e-3, "full": 1e-3},
        architecture="encoder" if is_encoder else "decoder",
    )


@torch.no_grad()
def _make_sensitive(model: Any) -> None:
    """Changes weights so that mistakes in them show in the output.

    Moves biases and norms away from 0 and 1, so that a forgotten one matters. Scales tied embeddings down,
    because the model would otherwise repeat its last token forever.
    """
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter += 0.1 * torch.randn_like(parameter)
    if model.config.tie_word_embeddings:
        model.get_input_embeddings().weight *= 0.25


def _encoders_tokenizer(plain: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    backend = plain.backend_tokenizer
    backend.add_special_tokens(_CLASSES)
    cls, sep, mask = _CLASSES
    backend.post_processor = TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=f"{cls} $A {sep} $B:1 {sep}:1",
        special_tokens=[(token, backend.token_to_id(token)) for token in (cls, sep)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<|pad|>",
        eos_token=sep,
        cls_token=cls,
        sep_token=sep,
        mask_token=mask,
        clean_up_tokenization_spaces=False,
    )
