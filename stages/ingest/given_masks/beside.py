"""Masks in files beside their picture: `<stem>.mask0.png ...`, or `mask0.png ...` in a folder of one picture."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from schemas.job import Ingest, Source
from stages.ingest.faults import FileChanged
from stages.ingest.given_masks.given_mask import GivenMask, decode_mask_file
from stages.ingest.source.files import locate, read_file
from stages.ingest.source.hashing import hash_of_all


class MasksBeside:
    """Reads the mask files that the plan names for a picture."""

    def __init__(self, source: Source, limits: Ingest) -> None:
        self._source, self._limits = source, limits

    def masks_of(self, urls: Sequence[str], sha256: str | None) -> list[tuple[str, GivenMask]]:
        """(address of the file, mask), in the order of the files; a label map is several masks.

        sha256: of all files, as planned. Raises FileChanged, FileUnreadable, FileTooLarge, and MaskUnreadable.
        """
        read = [read_file(url, self._source, self._limits.max_bytes) for url in urls]
        if hash_of_all([hashlib.sha256(data).hexdigest() for data in read]) != sha256:
            raise FileChanged(f"a mask changed since the plan: {', '.join(urls)}; run the job again to plan it anew")
        names = [locate(url, self._source)[1].rpartition("/")[2] for url in urls]
        return [
            (url, mask)
            for url, name, data in zip(urls, names, read, strict=True)
            for mask in decode_mask_file(data, name, self._limits)
        ]
