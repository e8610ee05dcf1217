"""One thread for torch, for as long as a block takes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_TORCH = threading.RLock()


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold torch to one thread; blocks of other threads wait meanwhile, so that each finds the number it is to restore.

    What is computed while it lasts does not hang on how many threads the process has, to the last bit.
    """
    import torch

    with _TORCH:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)
