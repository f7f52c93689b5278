"""The argument of compiled LoRA. Its code is in another module, which not every process may import."""

import ctypes


class LoraCall(ctypes.Structure):
    """The argument of the compiled code. Addresses point to C-contiguous arrays."""

    _fields_ = [
        ("x", ctypes.c_int64),  # float32 [N, width]
        ("out", ctypes.c_int64),  # float32 [N, height], to which the updates are added
        ("num_rows", ctypes.c_int64),  # N
        ("width", ctypes.c_int64),
        ("height", ctypes.c_int64),
        ("pairs", ctypes.c_int64),  # int64 [A, 3]: each adapter's addresses of down and up, and its rank or 0
        ("rows", ctypes.c_int64),  # int64: the rows that have an adapter, piece by piece
        ("pieces", ctypes.c_int64),  # int64 [P, 3]: start and end in `rows`, and the adapter
        ("num_pieces", ctypes.c_int64),  # P
    ]


def can_compile() -> bool:
    """Whether PyTorch has loaded the OpenMP that the compiled code uses for threads."""
    return all(hasattr(ctypes.CDLL(None), name) for name in ("GOMP_parallel", "omp_get_thread_num"))
