"""The sizes of a base model, from which its memory follows."""

from cluster.contracts.frozen import FrozenModel


class LinearShape(FrozenModel):
    """A linear layer that the blocks of a model have."""

    name: str
    """Within its block, such as `self_attn.q_proj`."""
    outputs: int
    inputs: int
    count: int
    """How many of the blocks have it."""
    is_adapted: bool = True
    """Whether `all-linear` adapts it. A model's own kernels read some layers past an adapter."""

    @property
    def weights(self) -> int:
        """In all blocks together."""
        return self.outputs * self.inputs * self.count


class CacheShape(FrozenModel):
    """What layers of one kind keep of a sequence while it is continued."""

    count: int
    """How many layers are of this kind."""
    heads: int
    """Devices that share the model divide what is kept by these; 1 if each of them keeps all of it."""
    per_token: int = 0
    """Numbers for each token, over all heads: keys and values, or the latent vector that holds both."""
    window: int | None = None
    """How many tokens are kept; None keeps all."""
    state: int = 0
    """Numbers however long the sequence is, over all heads: of recurrent layers."""


class ModelShape(FrozenModel):
    model_type: str
    """transformers' name of the family."""
    hidden_size: int
    num_layers: int
    vocab_size: int
    query_size: int
    """Width of all queries of a block together, and of what attention returns."""
    key_value_size: int
    """Width of all keys and values of a block together."""
    repeated_size: int = 0
    """The same where they are repeated for all heads of queries to be attended to; 0 where kernels share
    them."""
    masks: int = 0
    """How many matrices of which tokens see each other attention keeps, for all blocks together."""
    feed_forward_size: int
    """Hidden units of the feed-forward layers that a token passes in a block: for experts, those that it is
    sent to."""
    num_heads: int
    is_gated: bool
    """Whether feed-forward layers multiply two projections, which are both kept for the backward pass."""
    has_full_scores: bool
    """Whether attention computes the matrix of all scores, as soft-capped attention does."""
    linear: tuple[LinearShape, ...]
    """What adapters change and QLoRA quantizes: the linear layers of the blocks."""
    experts: int
    """Weights of experts that are stacked in one tensor, which is no linear layer."""
    expert_adapter: int
    """Weights of an adapter of rank 1 on all experts and their routers, as PEFT adapts them; 0 if it does
    not."""
    experts_per_token: int = 0
    """How many experts a token is sent to."""
    expert_slot_whole: int = 0
    """Numbers that vLLM reserves on each device for an adapter of rank 1 on all experts and their routers.
    It does so for every model with experts, whatever adapters change."""
    expert_slot_shared: int = 0
    """Numbers beside these that devices share."""
    recurrent: int
    """Numbers in fp32 that recurrent layers keep of a token for the backward pass, over all of them, where no
    kernels of their own are installed."""
    cache: tuple[CacheShape, ...]
    """Shapes of layers that keep keys and values, without layers that read what earlier ones keep."""
    embeddings: int
    """Numbers in the embeddings of tokens: the input layer's, and those that some families have for each
    block."""
    head: int
    """Weights of the output layer; 0 if it is the embeddings."""
    rest: int
    """Norms, biases, routers and the like."""

    @property
    def parameters(self) -> int:
        return self.in_blocks + self.embeddings + self.head

    @property
    def in_blocks(self) -> int:
        return self.linear_weights + self.experts + self.rest

    @property
    def linear_weights(self) -> int:
        return sum(each.weights for each in self.linear)

    @property
    def active_weights(self) -> int:
        """Weights of the blocks that a token passes: of experts, only the ones that it is sent to."""
        if not self.experts:
            return self.linear_weights
        matrices = 3 if self.is_gated else 2
        return self.linear_weights + self.num_layers * matrices * self.hidden_size * self.feed_forward_size
