"""What a person calls a scene: its id or the beginning of it, its file, the file's name without the ending, or the
folder that holds it."""

from __future__ import annotations

import posixpath
import unicodedata
from collections.abc import Iterable, Mapping

from pipeline.ledger.plan import Plan
from schemas.errors import CommandError

_SHOWN = 10


def uris_of(plan: Plan, scenes: Iterable[str]) -> dict[str, list[str]]:
    """Scene -> the addresses of its files, of those scenes: one, and more where others have the same bytes. A scene
    that has left the plan (its file changed since) has none."""
    found: dict[str, list[str]] = {scene_id: [] for scene_id in scenes}
    columns = (plan.table.column(name).to_pylist() for name in ("scene_id", "uri"))
    for scene_id, uri in zip(*columns, strict=True):
        if scene_id in found:
            found[scene_id].append(uri)
    return found


def find_scenes(wanted: str, scenes: Mapping[str, list[str]]) -> list[str]:
    """Ids of the scenes that `wanted` may mean, in order; a whole id means that scene and no other, and a folder means
    those in it where no file is called so."""
    if wanted in scenes:
        return [wanted]
    folder = wanted.rstrip("/")
    called = {scene_id for scene_id, uris in scenes.items() if any(_is_called(wanted, uri) for uri in uris)} or {
        scene_id
        for scene_id, uris in scenes.items()
        if any(_is_called(folder, posixpath.dirname(uri), whole=True) for uri in uris)
    }
    return sorted(called | {scene_id for scene_id in scenes if scene_id.startswith(wanted)})


def one_scene(wanted: str, scenes: Mapping[str, list[str]], kind: str, where: str) -> str:
    """The id of the one scene that `wanted` means. kind: what the scenes are, `scene with handles`; where: the OUTPUT.

    Raises CommandError where it means none, or several, which it lists.
    """
    found = find_scenes(wanted, scenes)
    if len(found) == 1:
        return found[0]
    if not found:
        raise CommandError(
            f"--scene {wanted}: no {kind} begins so, and no file of one or its folder is called so, under {where}; "
            "`unscene scenes` with that OUTPUT lists the scenes and their files"
        )
    listed = ", ".join(f"{scene_id} ({', '.join(scenes[scene_id])})" for scene_id in found[:_SHOWN])
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    raise CommandError(f"--scene {wanted}: it may mean {len(found)} scenes, {listed}{more}; name one by its id")


def base_of(plan: Plan, source: str | None) -> str:
    """What a path need not say: the source, or else the folders that all files of the plan lie in; with a slash."""
    uris = plan.table.column("uri").to_pylist()
    if not uris:
        return ""
    first, last = min(uris), max(uris)
    common = first[: next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))]
    folder = f"{source.rstrip('/')}/" if source else ""
    return folder if folder and common.startswith(folder) else common[: common.rfind("/") + 1]


def _is_called(wanted: str, uri: str, whole: bool = False) -> bool:
    """Whether the address is or ends in `wanted`, at a slash; of a file without its ending too, unless `whole`."""
    # One system writes an accented letter as one character, another as two.
    wanted, uri = (unicodedata.normalize("NFC", text) for text in (wanted, uri))
    names = (uri,) if whole else (uri, posixpath.splitext(uri)[0])
    return bool(wanted) and any(name == wanted or name.endswith(f"/{wanted}") for name in names)
