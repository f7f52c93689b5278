"""The LoRA of many rows in one call, compiled for this CPU.

An adapter's weights are read in place, once for all of its rows. PyTorch's operators take two to six times as
long, because none of them is made for few rows and narrow matrices.
"""

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

from cluster.serving.embedded.lora.call import LoraCall

_Function = TypeVar("_Function", bound=Callable[..., Any])

_OPTIONS: Any = {"fastmath": {"reassoc", "contract", "nsz"}, "error_model": "numpy", "boundscheck": False}
"""Allows reordered, vectorized sums; NaN is preserved."""


@cache
def compiled() -> Callable[[LoraCall, int], None]:
    """Returns the function that adds the updates, on the given number of threads and without the GIL.

    The first process compiles it in about a second; others load it from a cache on disk, if there is one.
    """
    kernel = _compile()
    # Uses PyTorch's threads, so that two pools do not compete for the cores. Compilers translate
    # `#pragma omp parallel` into this call.
    fork = ctypes.CDLL(None).GOMP_parallel
    fork.argtypes = [ctypes.c_void_p, ctypes.POINTER(LoraCall), ctypes.c_uint, ctypes.c_uint]
    fork.restype = None

    def run(call: LoraCall, num_threads: int) -> None:
        fork(kernel.address, call, num_threads, 0)

    return run


def _compile() -> Any:
    """Compiles a C function, at `address`, that takes a LoraCall and does the work of its OpenMP thread."""
    call = numba.from_dtype(np.dtype(LoraCall))
    signature = types.void(types.CPointer(call))
    try:
        return numba.cfunc(signature, cache=True, **_OPTIONS)(_work)
    except RuntimeError:  # numba has no writable cache folder
        return numba.cfunc(signature, **_OPTIONS)(_work)


def _work(calls: Any) -> None:
    """Processes one thread's pieces."""
    call = numba.carray(calls, 1)[0]
    x_NI = numba.carray(_floats(call.x), (call.num_rows, call.width))
    out_NO = numba.carray(_floats(call.out), (call.num_rows, call.height))
    rows = numba.carray(_integers(call.rows), call.num_rows)
    pieces_P3 = numba.carray(_integers(call.pieces), (call.num_pieces, 3))
    for piece in range(_thread(), call.num_pieces, _num_threads()):
        first, stop, adapter = pieces_P3[piece]
        down, up, rank = numba.carray(_integers(call.pairs), (adapter + 1, 3))[adapter]
        if rank > 0:
            # Padded with zeros for the last block of eight ranks.
            reduced_NR = np.zeros((stop - first, rank + 7), np.float32)
            _shrink(x_NI, rows[first:stop], numba.carray(_floats(down), (rank, call.width)), reduced_NR)
            _expand(reduced_NR, numba.carray(_floats(up), (rank, call.height)), rows[first:stop], out_NO)


def _compiled_with_its_caller(function: _Function) -> _Function:
    typed: _Function = numba.njit(**_OPTIONS)(function)
    return typed


@_compiled_with_its_caller
def _shrink(x_NI: Any, rows: Any, down_RI: Any, reduced_NR: Any) -> None:
    """Computes four rows by four ranks at a time, so that the sixteen sums stay in registers."""
    for r in range(0, len(down_RI), 4):
        r0, r1, r2, r3 = _four(r, len(down_RI))
        w0, w1, w2, w3 = down_RI[r0], down_RI[r1], down_RI[r2], down_RI[r3]
        for n in range(0, len(rows), 4):
            n0, n1, n2, n3 = _four(n, len(rows))
            x0, x1, x2, x3 = x_NI[rows[n0]], x_NI[rows[n1]], x_NI[rows[n2]], x_NI[rows[n3]]
            s00 = s01 = s02 = s03 = np.float32(0)
            s10 = s11 = s12 = s13 = np.float32(0)
            s20 = s21 = s22 = s23 = np.float32(0)
            s30 = s31 = s32 = s33 = np.float32(0)
            for i in range(len(w0)):
                a, b, c, d = w0[i], w1[i], w2[i], w3[i]
                v = x0[i]
                s00, s01, s02, s03 = s00 + v * a, s01 + v * b, s02 + v * c, s03 + v * d
                v = x1[i]
                s10, s11, s12, s13 = s10 + v * a, s11 + v * b, s12 + v * c, s13 + v * d
                v = x2[i]
                s20, s21, s22, s23 = s20 + v * a, s21 + v * b, s22 + v * c, s23 + v * d
                v = x3[i]
                s30, s31, s32, s33 = s30 + v * a, s31 + v * b, s32 + v * c, s33 + v * d
            q = reduced_NR[n0]
            q[r0], q[r1], q[r2], q[r3] = s00, s01, s02, s03
            q = reduced_NR[n1]
            q[r0], q[r1], q[r2], q[r3] = s10, s11, s12, s13
            q = reduced_NR[n2]
            q[r0], q[r1], q[r2], q[r3] = s20, s21, s22, s23
            q = reduced_NR[n3]
            q[r0], q[r1], q[r2], q[r3] = s30, s31, s32, s33


@_compiled_with_its_caller
def _expand(reduced_NR: Any, up_RO: Any, rows: Any, out_NO: Any) -> None:
    """Computes eight ranks at a time, so that a row is rarely read and written."""
    for r in range(0, len(up_RO), 8):
        r0, r1, r2, r3 = _four(r, len(up_RO))
        r4, r5, r6, r7 = _four(r + 4, len(up_RO))
        w0, w1, w2, w3 = up_RO[r0], up_RO[r1], up_RO[r2], up_RO[r3]
        w4, w5, w6, w7 = up_RO[r4], up_RO[r5], up_RO[r6], up_RO[r7]
        for n in range(len(rows)):
            q = reduced_NR[n, r:]
            a, b, c, d, e, f, g, h = q[0], q[1], q[2], q[3], q[4], q[5], q[6], q[7]
            out = out_NO[rows[n]]
            for o in range(len(out)):
                half = a * w0[o] + b * w1[o] + c * w2[o] + d * w3[o]
                out[o] += half + e * w4[o] + f * w5[o] + g * w6[o] + h * w7[o]


@_compiled_with_its_caller
def _four(first: int, stop: int) -> tuple[int, int, int, int]:
    """Returns the next four indices; if fewer are left, the last one is repeated."""
    last = stop - 1
    return min(first, last), min(first + 1, last), min(first + 2, last), min(first + 3, last)


_thread = types.ExternalFunction("omp_get_thread_num", types.int32())
_num_threads = types.ExternalFunction("omp_get_num_threads", types.int32())


def _pointer_to(kind: Any) -> Any:
    """Makes a conversion from address to pointer, which numba does not provide."""

    def pointer(context: Any, address: Any) -> Any:
        def convert(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], target.get_value_type(signature.return_type))

        return types.CPointer(kind)(types.int64), convert

    return intrinsic(pointer)


_floats = _pointer_to(types.float32)
_integers = _pointer_to(types.int64)
