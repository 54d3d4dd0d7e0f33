"""How far a base reads its prompts, told by its tokenizers alone, before anything is started.

A prompt is cut at the base's last token without a word, and a handle behind it is not in the picture. The driver asks
here, so nothing in this file imports torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from schemas.errors import SpecError
from schemas.job import JobSpec
from schemas.templates import fill_names, fill_template, named_in
from stages.handles.placeholders import with_handles
from stages.models.base.layout import check_layout, text_encoder_names
from stages.models.base.vocabulary import placeholder_names
from stages.models.place import bundled


class PromptReach:
    """The tokenizers of the spec's base, with its handles. Raises SpecError where they cannot be loaded, or know the
    handles' names already."""

    def __init__(self, spec: JobSpec) -> None:
        from transformers import CLIPTokenizer

        base, revision = bundled(spec.models.base, "models.base"), spec.models.revision
        where: dict[str, Any] = {"revision": revision}
        encoders = text_encoder_names(check_layout(base, revision))
        self.names = placeholder_names(spec.extract.placeholder)
        try:
            tokenizers = [
                CLIPTokenizer.from_pretrained(base, subfolder=name.replace("text_encoder", "tokenizer"), **where)
                for name in encoders
            ]
        except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
            raise SpecError(
                f"models.base: the tokenizer of {base} could not be loaded ({type(error).__name__}: "
                f"{(str(error).strip().splitlines() or [''])[0]}); save it with save_pretrained"
            ) from error
        self.tokenizers = [with_handles(tokenizer, spec.extract.placeholder) for tokenizer in tokenizers]

    def unread(self, prompt: str) -> tuple[str, int] | None:
        """The end of a prompt that some text encoder does not read, and how many tokens it reads; None where all of
        them read it whole."""
        for tokenizer in self.tokenizers:
            most = tokenizer.model_max_length
            found = tokenizer(prompt, return_offsets_mapping=True, verbose=False)
            if len(found.input_ids) > most:
                return prompt[found.offset_mapping[most - 1][0] :], most  # the end token takes the last place
        return None

    def lost(self, prompt: str, handles: Sequence[str]) -> list[str]:
        """Which of these handles some text encoder does not come to in the prompt."""
        read = [
            tokenizer(prompt, truncation=True, max_length=tokenizer.model_max_length).input_ids
            for tokenizer in self.tokenizers
        ]
        return [
            name
            for name in handles
            if not all(
                tokenizer.convert_tokens_to_ids(name) in ids
                for tokenizer, ids in zip(self.tokenizers, read, strict=True)
            )
        ]


def check_prompts(spec: JobSpec, sizes: Sequence[int], trained: Sequence[int] = ()) -> list[str]:
    """What is left out of the spec's prompts, a line each.

    sizes: how many handles stand together in generated pictures, ascending; trained: the same for training, empty where
    nothing is trained. Raises SpecError where a handle would lie behind the last token.
    """
    reach = PromptReach(spec)
    lines: list[str] = []
    for prompt in dict.fromkeys(spec.generate.prompts):
        if named_in(prompt):
            lines += _check_named(reach, prompt)
            continue
        lines += _check(reach, "generate.prompts", prompt, sizes, "ask for fewer handles at once in generate.subsets")
    lines += _check(reach, "generate.negative_prompt", spec.generate.negative_prompt)
    if trained:
        remedy = "lower segment.max_concepts"
        lines += _check(reach, "extract.template", spec.extract.template, trained, remedy)
        lines += _check(reach, "extract.prior.prompt", spec.extract.prior.prompt)
    return lines


def _check(reach: PromptReach, name: str, template: str, sizes: Sequence[int] = (0,), fewer: str = "") -> list[str]:
    left_out: list[str] = []
    for size in sizes:
        remedy = "shorten what stands before {handles}" + (f", or {fewer}" if size > 1 else "")
        handles = reach.names[:size]
        left_out = _left_out(reach, name, fill_template(template, handles), handles, remedy) or left_out
    return left_out


def _check_named(reach: PromptReach, template: str) -> list[str]:
    """Of a template that names concepts one by one. Every handle is one token, so any may stand for a word's."""
    names = named_in(template)
    free = iter([handle for index, handle in enumerate(reach.names) if index not in names])
    called = {name: reach.names[name] if isinstance(name, int) else next(free) for name in names}
    prompt, remedy = fill_names(template, called), "shorten it"
    return _left_out(reach, "generate.prompts", prompt, list(called.values()), remedy)


def _left_out(reach: PromptReach, name: str, prompt: str, handles: Sequence[str], remedy: str) -> list[str]:
    """The line that says what of a prompt is not read, if anything. Raises SpecError where a handle is not."""
    unread = reach.unread(prompt)
    if unread is None:
        return []
    rest, most = unread
    if lost := reach.lost(prompt, handles):
        raise SpecError(
            f"{name}: {lost[0]} does not fit into the {most} tokens that the base model reads of {prompt!r}; {remedy}"
        )
    return [f"{name}: the base model reads {most} tokens, and leaves out {rest.strip()!r} of {prompt!r}"]
