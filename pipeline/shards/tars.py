"""The tar side of a shard: its name, its members, and whose they are."""

from __future__ import annotations

import io
import tarfile

BLOCK = tarfile.BLOCKSIZE
"""A member is a header of so many bytes, and its content, filled up to a multiple of them."""


def add_member(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """Adds a file without time or owner, so that the same content is the same bytes."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def header(name: str, size: int) -> bytes:
    """What stands before a file of so many bytes. Raises ValueError for a name that does not fit into it."""
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.USTAR_FORMAT)


def member(name: str, data: bytes) -> bytes:
    """A file as `add_member` writes it. Raises ValueError as `header` does."""
    return header(name, len(data)) + data + b"\0" * (padded(len(data)) - len(data))


def closing(size: int) -> bytes:
    """What stands behind members of so many bytes."""
    whole = -(-(size + 2 * BLOCK) // tarfile.RECORDSIZE) * tarfile.RECORDSIZE
    return b"\0" * (whole - size)


def owner_of(member: str) -> str:
    """The scene that a tar member belongs to: members are `<scene_id>[-<number>].<suffix>`."""
    return member.split(".", 1)[0].split("-", 1)[0]


def padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def tar_name(table: str, shard: int) -> str:
    return f"{table}/{table}-{shard:06d}.tar"
