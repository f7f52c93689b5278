"""Hides the GPUs of vLLM and of jobs from replicas that have not reserved them."""

import os

import ray


def hide_unreserved_gpus() -> None:
    """Hides the GPUs that Ray has not reserved for this replica. Call this in every replica's constructor,
    before torch is asked for a device. Ray itself does not hide them: a replica without GPUs would see all
    GPUs of the node. Does nothing outside Ray."""
    if ray.is_initialized() and not ray.get_gpu_ids():
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
