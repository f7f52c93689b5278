"""Scopes: what keys and tokens may do in a project."""

from typing import Literal

Scope = Literal["read", "write", "infer", "admin"]
"""`admin` includes every other one."""
