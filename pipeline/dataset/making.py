"""`unscene dataset`: an OUTPUT as a data set of one format, part by part; the same command goes on, and brings it up to
what the OUTPUT has by now.

Memory: the tables of one shard, the rows of a part of each split, the files of one scene.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NoReturn

from pipeline.dataset.book import Book
from pipeline.dataset.card import write_card
from pipeline.dataset.choices import TRAIN, VALIDATION, Choices
from pipeline.dataset.classes import UNNAMED, Classes
from pipeline.dataset.counts import Counts, left_out_line
from pipeline.dataset.example import Examples, Lost
from pipeline.dataset.folder import CARD, check_apart, forget_told, forget_unnamed, open_folder
from pipeline.dataset.formats.written import FormatWriter, writer_of
from pipeline.dataset.lots import Cap, side_of
from pipeline.dataset.missing import Missing
from pipeline.dataset.parts import PART_BYTES, Cutter, Part, Record, Records
from pipeline.dataset.picking import SEVERAL, Picker
from pipeline.dataset.source import DatasetSource
from pipeline.shards.photographs import judges_caution
from pipeline.storage.folder import Storage
from pipeline.wording import counted, size_text
from schemas.errors import CommandError

SPLITS = (TRAIN, VALIDATION)
_TABLES = ("scenes", "concepts", "variations", "scores")


def make_dataset(output: Storage, choices: Choices, url: str, part_bytes: int = PART_BYTES) -> Iterator[str]:
    """Writes the data set to `url`; yields a line a part, then the counts.

    Raises OutputError when there is no job, or a table that cannot be read; CommandError when `url` is not for it, or
    no picture is left.
    """
    into = Storage(url)
    check_apart(into, output)
    source = DatasetSource(output, choices.new)
    words = _Words.of(source)
    classes = open_folder(into, output, choices, words.names(choices))
    yield from words.lines(choices)
    maker = _Maker(source, choices, classes, into, part_bytes)
    yield from maker.parts()
    yield from maker.close()


@dataclass
class _Words:
    """Words of concepts -> how many; concepts and scenes without one."""

    counts: Counter[str | None]
    nameless: set[str]

    @staticmethod
    def of(source: DatasetSource) -> _Words:
        counts: Counter[str | None] = Counter()
        nameless: set[str] = set()
        for scene_id, word in source.words():
            counts[word] += 1
            if word is None:
                nameless.add(scene_id)
        return _Words(counts, nameless)

    def names(self, choices: Choices) -> list[str]:
        """Of the classes. Raises CommandError where --classes leaves none; without a concept, as where all scenes are
        withdrawn, there is none, and no picture."""
        found = {choices.classes.of(word) for word in self.counts} - {None}
        if self.counts and not found:
            raise CommandError("--classes: it leaves out every word of this OUTPUT; name a class for one of them")
        return sorted(name for name in found if name is not None)

    def lines(self, choices: Choices) -> Iterator[str]:
        lacking, class_ = self.counts[None], choices.classes.of(None)
        if lacking:
            became = f"are of the class {class_}" if class_ is not None else "are left out by --classes"
            remedy = f"--classes maps {UNNAMED}, segment.vocabulary names them" if class_ == UNNAMED else ""
            yield (
                f"{lacking:,} of {counted(self.counts.total(), 'concept')}, in {counted(len(self.nameless), 'scene')}, "
                f"have no word and {became}{f' ({remedy})' if remedy else ''}"
            )
        if idle := choices.classes.idle(self.counts):
            yield f"--classes names {', '.join(idle)}, which no concept is called"


class _Maker:
    """One walk over the OUTPUT."""

    def __init__(
        self, source: DatasetSource, choices: Choices, classes: Classes, into: Storage, part_bytes: int
    ) -> None:
        self.source, self.choices, self.classes, self.into = source, choices, classes, into
        extension = source.spec.generate.format if choices.new else "png"
        self.format: FormatWriter = writer_of(choices, into, classes)
        self.examples = Examples(source, classes, extension)
        self.records = Records(into)
        self.picker = Picker(choices, classes, source.withdrawn)
        self.missing = Missing(source, choices)
        self.counts = {split: Counts() for split in SPLITS}
        settings = json.dumps([str(choices.format), extension, self.format.stamp])
        self.cutter = Cutter(settings, part_bytes)
        self.written = self.there = self.dropped = 0

    def parts(self) -> Iterator[str]:
        """Writes what is not there yet; yields a line for each part."""
        cap = self._cap()
        for shard in self.source.shards:
            commits = {table: self.source.commit(table, shard) for table in _TABLES}
            self.missing.look(shard)
            for scene in self.source.scenes(shard):
                picks = self.picker.picked(scene, cap)
                if not picks:
                    continue
                side = side_of(scene.scene_id, self.choices.validation, self.choices.seed)
                for part in self.cutter.add(side, picks, commits):
                    yield self._made(part)
        for shard in sorted(set(range(self.missing.plan.shards)).difference(self.source.shards)):
            self.missing.look(shard)
        for part in self.cutter.rest():
            yield self._made(part)

    def close(self) -> Iterator[str]:
        """Writes what tells of all parts, and yields the counts."""
        self.dropped = sum(self.records.drop_from(split, self.cutter.counts[split]) for split in SPLITS)
        left_out = self.picker.left_out + Counter()
        for counts in self.counts.values():
            left_out.update(counts.left_out)
        told = [line for counts in self.counts.values() for line in counts.told]
        pictures = sum(counts.pictures for counts in self.counts.values())
        out = left_out_line(left_out, self.picker.considered)
        # A split whose pictures are all damaged has files of nothing, which readers stumble over.
        parts = {split: count for split, count in self.cutter.counts.items() if self.counts[split].pictures}
        extension = self.examples.extension
        book = Book(self.into, self.source, self.choices, self.classes, self.records, parts, extension)
        if not pictures:
            self._nothing(book, "; ".join((out, *self.missing.lines(remedies=True))))
        forget_unnamed(self.into, True)
        self.format.finish(book)
        caution = judges_caution(self.source.storage, self.source.spec) if self.choices.new else None
        doubts = [caution] if caution else []
        write_card(book, self.format, self.counts, left_out, [*self.missing.lines(remedies=False), *doubts])
        yield from (f"  {line}" for line in told)
        if earlier := left_out[SEVERAL]:
            yield (
                f"{counted(earlier, 'picture')} with several of one concept: an older Unscene scored them, and gave "
                f"their masks no ids; a job of its own draws and scores anew ({self.source.anew()})"
            )
        yield from self.missing.lines(remedies=True)
        yield from doubts
        yield from (counts.line(split) for split, counts in self.counts.items())
        if not self.counts[VALIDATION].pictures and self.choices.validation:
            yield (
                f"no scene of these fell into validation ({self.choices.validation:g} by lot): another --seed, into a "
                "folder of its own, draws anew"
            )
        yield out
        yield from self.format.lines(self.counts)
        gone = f", {self.dropped} removed" if self.dropped else ""
        yield (
            f"data set: {self.choices.format} in {self.into.url} ({counted(self.written, 'part')} written, "
            f"{self.there} there already{gone}); README.md there says how to load it"
        )

    def _nothing(self, book: Book, out: str) -> NoReturn:
        """Leaves nothing of a data set that was there, such as one whose scenes are all withdrawn by now, and raises
        CommandError."""
        gone = ""
        for split in SPLITS:
            self.records.drop_from(split, 0)
        if self.into.exists(CARD):
            self.format.finish(replace(book, parts={}))
            forget_told(self.into)
            gone = f"; the data set in {self.into.url}, which had some, is removed"
        forget_unnamed(self.into, False)
        others = "; ask for others, such as those that are not kept, by --unkept" if self.choices.new else ""
        raise CommandError(f"no picture of {self.source.storage.url} is left for the data set: {out}{gone}{others}")

    def _cap(self) -> Cap | None:
        if self.choices.cap is None:
            return None
        cap = Cap(self.choices.cap, self.choices.seed, self.choices.ratio is not None)
        looking = Picker(self.choices, self.classes, self.source.withdrawn)
        for shard in self.source.shards:
            for scene in self.source.scenes(shard):
                for pick in looking.picked(scene):
                    cap.see(pick.key, pick.scene_id, pick.shown)
        return cap

    def _made(self, part: Part) -> str:
        record = self.records.whole(part)
        if record is None:
            record = self.into.again(lambda: self._write(part))
            self.written += 1
            size = size_text(sum(record.files.values()))
            line = f"{part.name}: {counted(record.pictures, 'picture')}, {size}"
        else:
            self.there += 1
            line = f"{part.name}: there already"
        self.counts[part.split].add(record)
        return line

    def _write(self, part: Part) -> Record:
        lost, facts, record = Lost(), [], Record(part.stamp, {})
        scenes: set[str] = set()
        self.records.begin(part, self.format.planned(part, self.examples.extension))
        with self.format.open(part) as file:
            for example in self.examples.of(part.picks, lost):
                told = example.facts()
                for thing, more in zip(told["objects"], file.add(example), strict=True):
                    for name, value in more.items():
                        if isinstance(value, float):
                            total, count = record.means.get(name, (0.0, 0))
                            record.means[name] = total + value, count + 1
                        thing[name] = value
                    record.objects[thing["name"]] = record.objects.get(thing["name"], 0) + 1
                record.pictures += 1
                record.real += example.pick.real
                scenes.add(example.pick.scene_id)
                facts.append(json.dumps(told, ensure_ascii=False))
        record.files, record.of_scenes = file.files, len(scenes)
        record.left_out, record.told = dict(lost.reasons), lost.told[:20]
        self.records.end(part, record, ("\n".join(facts) + "\n").encode() if facts else b"")
        return record
