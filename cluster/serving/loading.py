"""One model is built at a time in a process, whoever asks."""

import threading

ONE_AT_A_TIME = threading.Lock()
"""Held around every `from_pretrained` of a model. That switches weight tying, initialisation and torch's
default type off and on for the whole process: of two at once, one can be left with weights missing."""
