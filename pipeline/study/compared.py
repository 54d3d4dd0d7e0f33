"""Who is compared: the methods of an evaluation, or several outputs by the names of their folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.ledger.run_record import NAME, recorded_spec
from pipeline.ledger.withdrawals import FOLDER
from pipeline.shards.reader import OutputReader
from pipeline.storage.folder import Storage
from schemas.errors import CommandError, OutputError
from schemas.methods import ABLATIONS, METHODS

KNOWN = (*METHODS, *ABLATIONS)
"""Names under an evaluation's OUTPUT, in the order of every table."""
LEAST = 2


@dataclass(frozen=True)
class Compared:
    """One contestant: its pictures are read through `reader`. withdrawn: scenes that its owner has taken out."""

    name: str
    reader: OutputReader
    withdrawn: frozenset[str]


@dataclass(frozen=True)
class Contest:
    """compared: two or more, in their order. without: names of those that have no picture yet."""

    compared: list[Compared]
    without: list[str]


def contest_of(outputs: Sequence[Storage], only: Sequence[str] = ()) -> Contest:
    """outputs: the one of an evaluation, or several of plain jobs. only: those to take, where it is not all.

    Raises OutputError where an output is no job's, CommandError where fewer than two have pictures, or `only` names
    one that is not there.
    """
    named = _methods(outputs[0]) if len(outputs) == 1 else _by_folder(outputs)
    strange = [name for name in only if name not in named]
    if strange:
        raise CommandError(f"--only {strange[0]}: not there; there are {', '.join(named)}")
    wanted = {name: _compared(name, storage) for name, storage in named.items() if not only or name in only}
    ready = [one for one in wanted.values() if one.reader.shards("variations")]
    without = [one.name for one in wanted.values() if one not in ready]
    if len(ready) < LEAST:
        there = f"only {ready[0].name} has pictures" if ready else "none has pictures"
        lacking = f" ({', '.join(without)} not yet)" if without else ""
        raise CommandError(
            f"study: {there}{lacking}, and people compare two or more; run the other methods first, and leave "
            "out --only where it is given"
        )
    return Contest(ready, without)


def _methods(output: Storage) -> dict[str, Storage]:
    """Of an evaluation's OUTPUT."""
    found = {name: Storage(output.url_of(name)) for name in KNOWN if output.exists(f"{name}/{NAME}")}
    if found:
        return found
    if output.exists(NAME):
        raise CommandError(
            f"{output.url} is one job, with nothing to compare it to; name the OUTPUT of `unscene evaluate`, or "
            "several outputs and --into"
        )
    raise OutputError(
        f"{output.url}: no method's folder there (such as {KNOWN[0]}); name the OUTPUT of `unscene evaluate`"
    )


def _by_folder(outputs: Sequence[Storage]) -> dict[str, Storage]:
    """Each by as many last parts of its path as tell it from the others."""
    paths = [output.root.split("/") for output in outputs]
    for depth in range(1, max(map(len, paths)) + 1):
        names = ["/".join(path[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            return dict(zip(names, outputs, strict=True))
    roots = [output.root for output in outputs]
    twice = next(output.url for output in outputs if roots.count(output.root) > 1)
    raise CommandError(f"{twice}: named twice; name each output once")


def _compared(name: str, storage: Storage) -> Compared:
    given = recorded_spec(storage).source.handles
    reader = OutputReader(storage, Storage(given) if given else None)
    homes = {home.url: home for home in (storage, reader.home("concepts"))}
    return Compared(name, reader, frozenset(scene for home in homes.values() for scene in home.names(FOLDER)))
