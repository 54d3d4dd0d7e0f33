"""Where a data set comes from: source, method, models and their licences as far as they are known, prompts, seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.dataset.choices import Choices
from pipeline.dataset.source import DatasetSource
from pipeline.ledger.run_record import read_record, recorded_spec
from schemas.job import Generate
from schemas.secrets import masked_address

METHODS = {"break_a_scene": ("Break-A-Scene", "https://arxiv.org/abs/2305.16311")}
_LICENCES = (
    ("seedling", "Apache-2.0"),
    ("stable-diffusion-2", "OpenRAIL++-M"),
    ("stable-diffusion-xl", "OpenRAIL++-M"),
    ("stable-diffusion-v1", "CreativeML OpenRAIL-M"),
    ("sam_vit", "Apache-2.0"),
    ("facebook/sam", "Apache-2.0"),
    ("openai/clip", "MIT"),
    ("facebook/dino", "Apache-2.0"),
)
"""Part of a model's name -> the licence that its makers gave it."""
UNKNOWN = "not known here; see its own card"


@dataclass(frozen=True)
class Model:
    """field: of the spec; revision: what identifies its content; licence: as its makers gave it, or UNKNOWN."""

    field: str
    name: str
    revision: str
    licence: str


@dataclass(frozen=True)
class Provenance:
    """source, output: addresses without credentials, of local folders the name alone, as a card is made to be read
    elsewhere. method: name and address of its paper. prompts: templates. versions: of the job's packages.
    crowds: whether annotations marked iscrowd, if there are any, count as objects."""

    source: str
    output: str
    method: tuple[str, str | None]
    models: list[Model]
    prompts: list[str]
    seed: int
    sampler: str
    versions: dict[str, str]
    created_at: float | None
    crowds: bool


def licence_of(name: str) -> str:
    """Of a model, by its name."""
    return next((licence for part, licence in _LICENCES if part in name.lower()), UNKNOWN)


def provenance(source: DatasetSource, choices: Choices) -> Provenance:
    """Of a data set made of this OUTPUT, of which all scenes have been looked at."""
    new = choices.new
    record: dict[str, Any] = read_record(source.storage)
    home = source.reader.home("concepts")
    first = source.spec if home is source.storage else recorded_spec(home)
    fields = {**read_record(home).get("fields", {}), **record.get("fields", {})}
    found = {"models.sam": first.models.sam}
    if new:
        own = source.spec.models
        found = {
            "models.base": own.base,
            "models.sam": own.sam,
            "models.clip": own.clip,
            "models.identity": own.identity,
        }
        if source.spec.evaluate.sam is not None:  # the masks of new pictures are its own
            found |= {"models.sam": first.models.sam, "evaluate.sam": source.spec.evaluate.sam}
            if first.source.masks != "none":
                del found["models.sam"]
    models = []
    for field, named in found.items():
        revision = str(fields.get(field, ""))
        name = _shown(named) if named.startswith("/") else masked_address(named)
        models.append(Model(field, name, revision if revision != named else "", licence_of(named)))
    generate = source.spec.generate
    method, paper = METHODS.get(first.extract.method, (first.extract.method, None))
    return Provenance(
        _shown(first.source.uri or ""),
        _shown(source.storage.url),
        (method, paper),
        models,
        list(generate.prompts) if new else [],
        source.spec.seed,
        drawn_with(generate, str(fields.get("generate.accelerate", ""))),
        dict(record.get("versions", {})),
        record.get("created_at"),
        first.source.masks == "coco" and first.source.crowds == "use" and (choices.crowds or source.unmarked),
    )


def drawn_with(generate: Generate, revision: str) -> str:
    """How pictures were sampled. revision: of what accelerates them, by its content."""
    text = f"{generate.sampler}, {generate.steps} steps, guidance {generate.guidance:g}"
    if generate.guidance_interval is not None:
        low, high = generate.guidance_interval
        text += f" where the noise level is above {low:g} and at most {high:g}"
    if generate.accelerate is not None:
        name = generate.accelerate
        shown = _shown(name) if name.startswith("/") else masked_address(name)
        text += f", with the step-distilled {shown} ({licence_of(name)}; {revision})"
    return text


def _shown(address: str) -> str:
    return masked_address(address) if "://" in address else address.rstrip("/").rpartition("/")[2]
