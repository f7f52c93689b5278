"""Keeps a replica off the GPUs of vLLM and of jobs."""

import os

import ray


def hide_unreserved_gpus() -> None:
    """Hides the GPUs that Ray has not reserved. Call this in every replica's constructor, before torch is
    asked for a device. Ray does not hide what it has not reserved: a replica without GPUs would see all of
    the node's. Does nothing outside Ray."""
    if ray.is_initialized() and not ray.get_gpu_ids():
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
