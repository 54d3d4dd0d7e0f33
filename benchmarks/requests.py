"""What an object store would be asked for: the calls of `Storage`, counted as the requests that they are on S3.

A listing answers with a thousand names at most, so a folder of more takes several. Asking again and the parts of an
upload are left out.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

from pipeline.storage.folder import Storage

KINDS = ("LIST", "GET", "HEAD", "PUT", "COPY", "DELETE")
_PAGE = 1000
_ASKED: dict[str, tuple[str, ...]] = {
    "exists": ("HEAD",),
    "read": ("GET",),
    "read_range": ("GET",),
    "open_read": ("HEAD", "GET"),
    "write": ("PUT",),
    "create": ("PUT",),
    "open_write": ("PUT",),
    "publish": ("COPY",),
    "delete": ("DELETE",),
    "delete_folder": ("LIST", "DELETE"),
}


@contextlib.contextmanager
def counted() -> Iterator[Counter[str]]:
    """Kind of request -> how many, of this process while it is open."""
    found: Counter[str] = Counter()
    lock = threading.Lock()

    def count(asked: tuple[str, ...], plain: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            with lock:
                found.update(asked)
            return plain(*args, **options)

        return call

    def listed(plain: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
        def call(storage: Storage, folder: str) -> list[Any]:
            entries = plain(storage, folder)
            with lock:
                found["LIST"] += max(1, -(-len(entries) // _PAGE))
            return entries

        return call

    with contextlib.ExitStack() as stack:
        for name, asked in _ASKED.items():
            stack.enter_context(patch.object(Storage, name, count(asked, getattr(Storage, name))))
        stack.enter_context(patch.object(Storage, "_list", listed(Storage._list)))
        yield found
