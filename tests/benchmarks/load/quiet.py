"""A benchmark's own process says what it measured, and is no heavier than it must be."""

import warnings

import torch
from transformers.utils import logging


def keep_quiet() -> None:
    """No progress bars or advice from libraries, and one thread for the reference."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
