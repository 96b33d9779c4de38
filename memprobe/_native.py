"""Functions as the interpreter has them, where gevent has put its own in their places.

After gevent.monkey.patch_all() a new thread is a greenlet of the main thread: the service stands for as long as it waits in C."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any


def original(module: str, name: str) -> Any:
    """module.name before gevent, which keeps what it replaces."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey.get_original(module, name) if monkey else getattr(import_module(module), name)


def start_thread(work: Callable[[], None]) -> None:
    """Run `work` in a thread of the system that does not keep the process alive. The module threading is not told of it, for gevent
    counts its threads after a fork, and complains."""
    original("_thread", "start_new_thread")(work, ())
