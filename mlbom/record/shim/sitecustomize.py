"""Starts the recorder inside a Python of a recorded step, then the sitecustomize it stands before.

This folder is first on PYTHONPATH of a recorded command. Everything in it is old syntax and the
standard library alone: it is loaded by whatever Python starts there.
"""
# ruff: noqa: INP001
# mypy: disable-error-code="import-not-found"

import os
import sys
from importlib.machinery import PathFinder

_HERE = os.path.dirname(os.path.abspath(__file__))

try:
    import _mlbom_start
except (ImportError, SyntaxError):
    # Older than the recorder understands: no trace file, which the launcher notices.
    _mlbom_start = None
if _mlbom_start is not None:
    _mlbom_start.start(_HERE)

# The interpreter imports one sitecustomize; the one it would have found is run as if it had been.
_ELSEWHERE = [entry for entry in sys.path if os.path.abspath(entry) != _HERE]
_SPEC = PathFinder.find_spec("sitecustomize", _ELSEWHERE)
if _SPEC is not None and _SPEC.loader is not None:
    from importlib.util import module_from_spec

    _MODULE = module_from_spec(_SPEC)
    sys.modules["sitecustomize"] = _MODULE
    _SPEC.loader.exec_module(_MODULE)
