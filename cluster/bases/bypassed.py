"""Linear layers that can be neither adapted nor quantized, because their model reads their weights
directly."""

import inspect
import re
from functools import cache

from torch import nn

_READ = re.compile(r"self\.(\w+)\.weight\b(?!\.(?:dtype|device|shape))")


def bypassed_layers(model: nn.Module) -> frozenset[str]:
    """Returns the names of the linear layers whose weights another module computes with, instead of calling
    the layer.

    An adapter on such a layer would learn nothing, and bytes that hold 4-bit weights would be taken for
    numbers. State-space mixers pass the weight of `out_proj` to a kernel that fuses it with the scan when
    they are trained on a GPU, those of Mamba's first version compute with the weight of `dt_proj`, and Gemma
    3n clips two weights in training. What a forward pass calls depends on the mode, the device and installed
    kernels, but an adapter must not depend on these. The source is therefore read instead."""
    return frozenset(
        f"{name}.{child}" if name else child
        for name, module in model.named_modules()
        for child in _read_by(type(module))  # type: ignore[arg-type]  # Classes are hashable.
        if isinstance(getattr(module, child, None), nn.Linear)
    )


@cache
def _read_by(kind: type[nn.Module]) -> frozenset[str]:
    """Returns the submodules whose weights are read by the methods of a transformers class."""
    if not kind.__module__.startswith("transformers."):
        return frozenset()
    methods = [inspect.unwrap(value) for value in vars(kind).values() if inspect.isfunction(value)]
    # Finding a method's source takes a while, and few name weights at all.
    sources = [inspect.getsource(each) for each in methods if "weight" in each.__code__.co_names]
    return frozenset(found[1] for source in sources for found in _READ.finditer(source))
