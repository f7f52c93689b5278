"""The shape of a model from its `config.json`, without its weights."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from cluster.contracts.model_shape import CacheShape, LinearShape, ModelShape
from cluster.planning.families import FAMILIES, Family
from cluster.planning.parts import Config, Part

_MAX_LAYERS = 1000


def shape_of(fields: Mapping[str, Any]) -> ModelShape | None:
    """Returns the shape. `fields` are those of `config.json`. None if the family is not known or a size is
    missing: then nothing is planned for the base.

    A model of text and images has the shape of its text model, which is what training loads."""
    fields = fields.get("text_config") or fields
    family = FAMILIES.get(str(fields.get("model_type")))
    if family is None:
        return None
    try:
        return _shape(str(fields["model_type"]), family, Config(fields, family.defaults))
    except (KeyError, TypeError, ValueError, IndexError, ZeroDivisionError):
        return None


def _shape(model_type: str, family: Family, config: Config) -> ModelShape:
    layers = family.layers(config)
    if layers > _MAX_LAYERS:
        raise ValueError(f"{layers} layers")
    blocks = [family.block(config, number) for number in range(layers)]
    outside = family.rest(config)
    whole = sum(blocks, outside if isinstance(outside, Part) else Part(rest=outside))
    embeddings = config.size("vocab_size") * config.hidden
    tied = config.get("tie_word_embeddings")
    is_tied = family.is_tied if tied is None else bool(tied)
    return ModelShape(
        model_type=model_type,
        hidden_size=config.hidden,
        num_layers=layers,
        vocab_size=config.size("vocab_size"),
        query_size=max(block.queries for block in blocks),
        key_value_size=max(block.key_values for block in blocks),
        repeated_size=max(block.repeated for block in blocks),
        masks=max(block.masks for block in blocks),
        feed_forward_size=max(block.feed_forward for block in blocks),
        num_heads=config.heads,
        is_gated=family.is_gated,
        has_full_scores=config.get("attn_logit_softcapping") is not None,
        linear=tuple(
            LinearShape(name=name, outputs=outputs, inputs=inputs, count=count, is_adapted=is_adapted)
            for (name, outputs, inputs, is_adapted), count in Counter(whole.linear).items()
        ),
        experts=whole.experts,
        expert_adapter=whole.expert_adapter,
        experts_per_token=max(block.experts_per_token for block in blocks),
        expert_slot_whole=whole.expert_slot_whole,
        expert_slot_shared=whole.expert_slot_shared,
        recurrent=whole.recurrent,
        cache=tuple(
            CacheShape(count=count, heads=heads, per_token=per_token, window=window, state=state)
            for (heads, per_token, window, state), count in Counter(whole.cache).items()
        ),
        embeddings=embeddings + family.embeddings(config),
        head=embeddings if family.has_head and not is_tied else 0,
        rest=whole.rest,
    )
