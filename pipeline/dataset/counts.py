"""What a data set holds and what it lacks, in lines for a person."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from pipeline.dataset.parts import Record
from pipeline.wording import counted

_SHOWN = 20


@dataclass
class Counts:
    """Of one split, or of all. objects: class -> how many; left_out: reason -> pictures."""

    pictures: int = 0
    real: int = 0
    scenes: int = 0
    objects: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    told: list[str] = field(default_factory=list)
    sums: dict[str, tuple[float, int]] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        self.pictures += record.pictures
        self.real += record.real
        self.scenes += record.of_scenes
        self.objects.update(record.objects)
        self.left_out.update(record.left_out)
        self.told += record.told[: max(0, _SHOWN - len(self.told))]
        for name, (total, count) in record.means.items():
            before = self.sums.get(name, (0.0, 0))
            self.sums[name] = before[0] + total, before[1] + count

    def line(self, split: str) -> str:
        """`train: 120 pictures (20 real, 100 new) of 20 scenes, 240 objects: cat 130, dog 110`."""
        if not self.pictures:
            return f"{split}: no pictures"
        kinds = f"{self.real:,} real, {self.pictures - self.real:,} new"
        classes = [f"{name} {count:,}" for name, count in self.objects.most_common()]
        more = f" and {len(classes) - _SHOWN} more" if len(classes) > _SHOWN else ""
        objects = counted(self.objects.total(), "object")
        return (
            f"{split}: {counted(self.pictures, 'picture')} ({kinds}) of {counted(self.scenes, 'scene')}, {objects}: "
            f"{', '.join(classes[:_SHOWN])}{more}"
        )


def left_out_line(reasons: Counter[str], considered: int) -> str:
    """`left out: 12 of 90 pictures (8 a concept asked for has no mask, 4 not kept: near-duplicates)`."""
    told = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
    return f"left out: {reasons.total():,} of {counted(considered, 'picture')}{f' ({told})' if told else ''}"
