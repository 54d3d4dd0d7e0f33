"""The tar side of a shard: its name, its members, and whose they are."""

from __future__ import annotations

import io
import tarfile


def add_member(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """Adds a file without time or owner, so that the same content is the same bytes."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def owner_of(member: str) -> str:
    """The scene that a tar member belongs to: members are `<scene_id>[-<number>].<suffix>`."""
    return member.split(".", 1)[0].split("-", 1)[0]


def padded(size: int) -> int:
    return (size + 511) // 512 * 512


def tar_name(table: str, shard: int) -> str:
    return f"{table}/{table}-{shard:06d}.tar"
