"""Templates of `generate.prompts` that name concepts one by one, held against what the scenes have."""

from __future__ import annotations

from collections import Counter

from pipeline.shards.concept_counts import handle_counts, handle_words
from pipeline.storage.folder import Storage
from pipeline.wording import counted
from schemas.errors import SpecError
from schemas.job import JobSpec
from schemas.templates import Name, named_in, plain_word
from stages.generate.prompts import concepts_needed, drawn_named

BACKGROUND = "background"
"""The word of a background that is a concept."""


def named_templates(spec: JobSpec) -> list[str]:
    """Those that name concepts, each once, in order."""
    return [template for template in dict.fromkeys(spec.generate.prompts) if named_in(template)]


def asks_subsets(spec: JobSpec) -> bool:
    """Whether any template leaves its concepts to `generate.subsets`."""
    return not all(map(named_in, spec.generate.prompts))


def check_named(spec: JobSpec, most: int) -> None:
    """Raises SpecError where all templates name concepts, and no scene can have those of any. most: concepts of a scene
    at most."""
    if asks_subsets(spec):
        return
    given, templates = spec.source.handles, named_templates(spec)
    scenes = _scenes(spec, templates) if given else Counter[tuple[str, ...]]()
    why = [_why_none(spec, template, most, scenes) for template in templates]
    if not all(why):
        return
    where = f"any scene under {given}" if given else "any scene"
    raise SpecError(
        f"generate.prompts: {templates[0]!r} gets no picture of {where}, as {why[0]}; name concepts that there are, "
        "such as {0}"
    )


def named_lines(spec: JobSpec, most: int) -> list[str]:
    """For each template that names what some scenes do not have: how many get no picture of it, and why."""
    templates = named_templates(spec)
    scenes = _scenes(spec, templates)
    more = ", and needs another one to be replaced" if spec.generate.replaces else ""
    lines = []
    for template in templates:
        fewer = sum(number for words, number in scenes.items() if not _gets(spec, template, words))
        if fewer:
            what = "it" if len(named_in(template)) == 1 else "them all"
            having = f"{fewer} of {counted(scenes.total(), 'scene')} {'does' if fewer == 1 else 'do'} not have {what}"
            lines.append(f"generate.prompts: {template!r} names {said(template)}{more}; {having}, and no picture of it")
        elif not scenes and (why := _why_none(spec, template, most, scenes)):
            lines.append(f"generate.prompts: {template!r} gets no picture of any scene, as {why}")
    return lines


def said(template: str) -> str:
    """What a template names, for a person: `concept 0 and concept 'cat'`."""
    named = [f"concept {name!r}" for name in named_in(template)]
    return named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"


def _scenes(spec: JobSpec, templates: list[str]) -> Counter[tuple[str, ...]]:
    """Words of a scene's concepts, as far as they decide -> how many scenes have these. Tables are read only where a
    word decides."""
    if not templates:
        return Counter()
    storage = Storage(spec.source.handles or spec.output)
    wanted = {name for template in templates for name in named_in(template) if isinstance(name, str)}
    if spec.generate.mode == "place":
        wanted.add(BACKGROUND)
    if wanted:
        return handle_words(storage, wanted)
    return Counter({("",) * count: number for count, number in handle_counts(storage).items()})


def _gets(spec: JobSpec, template: str, words: tuple[str, ...]) -> bool:
    background = words.index(BACKGROUND) if BACKGROUND in words else None
    return bool(drawn_named(template, words, spec.generate, background))


def _why_none(spec: JobSpec, template: str, most: int, scenes: Counter[tuple[str, ...]]) -> str | None:
    """Why no scene gets a picture of a template, known before any is taken apart, or by the scenes of an earlier
    OUTPUT; None where one may get some."""
    names = named_in(template)
    if spec.generate.mode == "place" and not spec.generate.replaces and names == [BACKGROUND]:
        return "the background is everywhere already"
    needed = concepts_needed(_least(names), int(spec.generate.replaces))
    if needed > most:
        return f"it needs {counted(needed, 'concept')} and a scene has at most {most}"
    if scenes:
        return None if any(_gets(spec, template, words) for words in scenes) else f"none has {said(template)}"
    known = _words(spec)
    strange = [name for name in names if isinstance(name, str) and known is not None and name not in known]
    return f"segment.vocabulary has no word {strange[0]!r}" if strange else None


def _least(names: list[Name]) -> list[int]:
    """The lowest indices that the names may have."""
    own = [name for name in names if isinstance(name, int)]
    free = (index for index in range(len(names) + len(own)) if index not in own)
    return [*own, *(next(free) for _ in range(len(names) - len(own)))]


def _words(spec: JobSpec) -> set[str] | None:
    """All words that handles of this job can start from; None where the source brings words, or handles."""
    if spec.source.masks == "coco" or spec.source.handles:
        return None
    own = spec.segment.vocabulary or [spec.extract.init_word]
    return {plain_word(word) for word in [*own, *([BACKGROUND] if spec.segment.background else [])]}
