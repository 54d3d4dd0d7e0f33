"""What `generate` asks of the scenes, held against what they have: before a job starts, in its plan, and at its end."""

from __future__ import annotations

from collections import Counter

from pipeline.commands.named import asks_subsets, check_named, named_lines
from pipeline.ledger.run_record import recorded_spec
from pipeline.shards.concept_counts import handle_counts
from pipeline.storage.folder import Storage
from pipeline.wording import counted
from schemas.errors import SpecError
from schemas.job import JobSpec
from stages.generate.prompts import concepts_needed, drawn_subsets, subset_sizes
from stages.handles.prompt_reach import check_prompts


def check_asked(spec: JobSpec) -> list[str]:
    """What the base leaves out of the spec's prompts, a line each.

    Raises SpecError where a handle would lie behind what the base reads of a prompt, or where no scene can have any of
    `generate.subsets`, or what the prompts name: by the handles of the earlier OUTPUT, or else by the most concepts
    that a scene can have.
    """
    given = spec.source.handles
    most = max(handle_counts(Storage(given)), default=0) if given else most_concepts(spec)
    sizes = _sizes(spec, most) if asks_subsets(spec) else []
    check_named(spec, most)
    trained = () if given else range(1, most + 1) if spec.extract.union_sampling else (1,)
    return check_prompts(spec, sizes, trained)


def _sizes(spec: JobSpec, most: int) -> list[int]:
    """How many handles stand together where `generate.subsets` decides. Raises SpecError where none can."""
    given, spare = spec.source.handles, int(spec.generate.replaces)
    sizes = subset_sizes(most, spec.generate.subsets, spare)
    if not sizes and subset_sizes(most, spec.generate.subsets):
        raise SpecError(
            "generate.place.region: replace draws a concept where another of its scene is, and "
            f"generate.subsets: {_listed(spec)} leaves none in any scene (of at most {counted(most, 'concept')}); take "
            "place.region: add, or ask for fewer concepts at once"
        )
    if not sizes:
        have = f"no scene under {given} has more than {most}" if given else f"a scene has at most {most}"
        raise SpecError(
            f"generate.subsets: {_listed(spec)} asks for concepts that no scene has "
            f"({have}; the first is 0); ask for others, such as [[0]]"
            + ("" if given else ", or raise segment.max_concepts")
        )
    if spec.generate.mode == "place":
        _check_placed(spec, most)
    return sizes


def _check_placed(spec: JobSpec, most: int) -> None:
    """Raises SpecError where no scene, whatever it has of at most so many concepts, gets a picture: the background is
    no thing whose place another could take, and is not drawn alone where it is already."""
    first = recorded_spec(Storage(spec.source.handles)) if spec.source.handles else spec
    for concepts in range(1, most + 1):
        whole = concepts <= first.segment.max_concepts  # or one of them is the background
        grounds = [*([None] if whole else []), *([concepts - 1] if first.segment.background and concepts > 1 else [])]
        if any(drawn_subsets(concepts, spec.generate, background) for background in grounds):
            return
    region, instead = spec.generate.place.region, ", or take place.region: add" if spec.generate.replaces else ""
    raise SpecError(
        f"generate.place.region: {region} draws nothing of generate.subsets: {_listed(spec)}, as a scene's background "
        "(segment.background), its last concept, is not drawn alone, and nothing takes its place; ask for fewer of the "
        f"others, such as [[0]]{instead}"
    )


def most_concepts(spec: JobSpec) -> int:
    """The most concepts that a scene of this job can have."""
    return spec.segment.max_concepts + spec.segment.background


def subset_lines(spec: JobSpec) -> list[str]:
    """For each of `generate.subsets`, and of the prompts that name concepts, that some scenes cannot have: how many get
    no picture of it, and why."""
    return [*(_subset_lines(spec) if asks_subsets(spec) else []), *named_lines(spec, most_concepts(spec))]


def _subset_lines(spec: JobSpec) -> list[str]:
    spare = int(spec.generate.replaces)
    wanted = [item for item in spec.generate.subsets if concepts_needed(item, spare) > 1]
    if not wanted:
        return []
    counts: Counter[int] = handle_counts(Storage(spec.source.handles or spec.output))
    scenes = counts.total()
    lines = []
    more = ", one of them to be replaced" if spare else ""
    for item in wanted:
        if spare and item == "union":
            lines.append(
                "generate.subsets: union leaves no concept for generate.place.region: replace, and no scene gets a "
                "picture of it; place.region: add would draw it"
            )
            continue
        needed = concepts_needed(item, spare)
        fewer = sum(number for count, number in counts.items() if count < needed)
        if fewer:
            having = f"{fewer} of {counted(scenes, 'scene')} {'has' if fewer == 1 else 'have'} fewer"
            lines.append(f"generate.subsets: {item} needs {needed} concepts{more}; {having}, and no picture of it")
        elif not scenes and needed > most_concepts(spec):
            lines.append(
                f"generate.subsets: {item} needs {needed} concepts{more}; no scene can have more than "
                f"{most_concepts(spec)} (segment.max_concepts), and none gets a picture of it"
            )
    return lines


def _listed(spec: JobSpec) -> str:
    return ", ".join(map(str, spec.generate.subsets))
