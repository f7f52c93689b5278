"""How the compiled LoRA is called."""

import ctypes
from collections.abc import Callable
from functools import cache


class LoraCall(ctypes.Structure):
    """What the compiled code is told. Addresses are of C-contiguous arrays."""

    _fields_ = [
        ("x", ctypes.c_int64),  # float32 [N, width]
        ("out", ctypes.c_int64),  # float32 [N, height], to which the updates are added
        ("num_rows", ctypes.c_int64),  # N
        ("width", ctypes.c_int64),
        ("height", ctypes.c_int64),
        ("pairs", ctypes.c_int64),  # int64 [A, 3]: each adapter's addresses of down and up, and its rank or 0
        ("rows", ctypes.c_int64),  # int64: those that have an adapter, piece by piece
        ("pieces", ctypes.c_int64),  # int64 [P, 3]: where in `rows` it begins and where it ends; its adapter
        ("num_pieces", ctypes.c_int64),  # P
    ]


def can_compile() -> bool:
    """Whether PyTorch brings the OpenMP on whose threads the compiled code runs."""
    return all(hasattr(ctypes.CDLL(None), name) for name in ("GOMP_parallel", "omp_get_thread_num"))


@cache
def compiled() -> Callable[[LoraCall, int], None]:
    """What adds the updates, on so many threads and without the GIL.

    The first process that asks compiles it, for about a second; others find it in a cache, where there can be
    one.
    """
    # Here, because vLLM does not start in a process that has imported numba.
    from cluster.serving.embedded.lora_kernel import compile_kernel

    kernel = compile_kernel()
    # The threads are PyTorch's own, so that no two pools fight for the cores. Compilers make this call of
    # `#pragma omp parallel`.
    fork = ctypes.CDLL(None).GOMP_parallel
    fork.argtypes = [ctypes.c_void_p, ctypes.POINTER(LoraCall), ctypes.c_uint, ctypes.c_uint]
    fork.restype = None

    def run(call: LoraCall, num_threads: int) -> None:
        fork(kernel.address, call, num_threads, 0)

    return run
