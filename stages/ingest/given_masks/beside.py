"""Masks in files beside their picture: `<stem>.mask0.png ...`, or `mask0.png ...` in a folder of one picture."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache

from schemas.job import Ingest, Source
from stages.ingest.decode import Picture
from stages.ingest.faults import FileUnreadable, MasksAmbiguous
from stages.ingest.given_masks.given_mask import GivenMask, decode_mask_file
from stages.ingest.source.files import full_url, locate, read_file
from stages.ingest.source.listing import MASK_NAME
from stages.transient import comes_of_network_failure


@dataclass(frozen=True)
class _Folder:
    """masks: stem (lower case; "" for plain `mask0.png`) -> paths in order of their numbers. pictures: how many."""

    masks: dict[str, list[str]]
    pictures: int


class MasksBeside:
    """Finds and reads the masks of a picture. Listings of the last few folders are kept, since the plan is sorted."""

    def __init__(self, source: Source, limits: Ingest) -> None:
        self._source = source
        self._limits = limits
        self._folder = lru_cache(maxsize=4)(self._list)

    def masks_of(self, uri: str, picture: Picture) -> list[GivenMask]:
        """Masks by ascending number; gaps in the numbers are fine. [] when the picture has none.

        Raises MasksAmbiguous when `mask0.png` stands in a folder of several pictures, and MaskUnreadable.
        """
        fs, path = locate(uri, self._source)
        parent, _, name = path.rpartition("/")
        folder = self._folder(full_url(fs, parent, uri))
        stem = name.rpartition(".")[0] or name
        paths = folder.masks.get(stem.lower(), [])
        if not paths and "" in folder.masks:
            if folder.pictures > 1:
                raise MasksAmbiguous(
                    f"mask0.png and the like beside {name} could belong to any of {folder.pictures} "
                    f"pictures; name them {stem}.mask0.png ..., or give each picture its own folder"
                )
            paths = folder.masks[""]
        return [self._read(full_url(fs, mask, uri)) for mask in paths]

    def _read(self, url: str) -> GivenMask:
        data = read_file(url, self._source, self._limits.max_bytes)
        return decode_mask_file(data, url.partition("::")[0].rpartition("/")[2], self._limits.max_pixels)

    def _list(self, folder: str) -> _Folder:
        try:
            fs, path = locate(folder, self._source)
            files = [info["name"] for info in fs.ls(path, detail=True) if info["type"] == "file"]
        except Exception as error:  # every backend has its own classes
            raise FileUnreadable(
                f"cannot list {folder} for masks: {type(error).__name__}: {error}; check access, then retry",
                transient=comes_of_network_failure(error),
            ) from error
        numbered: dict[str, list[tuple[int, str]]] = defaultdict(list)
        pictures = 0
        suffixes = tuple(suffix.lower() for suffix in self._source.suffixes)
        for file in files:
            name = file.rstrip("/").rpartition("/")[2]
            if match := MASK_NAME.fullmatch(name):
                numbered[(match["stem"] or "").lower()].append((int(match["number"]), file))
            elif name.lower().endswith(suffixes) and not name.startswith("."):
                pictures += 1
        return _Folder({stem: [file for _, file in sorted(found)] for stem, found in numbered.items()}, pictures)
