"""Keeps a benchmark's own process quiet and light."""

import warnings

import torch
from transformers.utils import logging


def keep_quiet() -> None:
    """Turns off the libraries' progress bars and warnings, and gives the reference one thread."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
