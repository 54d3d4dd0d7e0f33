"""The rating page: template, script and pictures in one file.

Texts are strangers': Jinja escapes them, the script sets them as text, and the page's Content-Security-Policy allows
that one script, by its hash, and no request to anywhere.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Any

from markupsafe import Markup

from pipeline.report.template import load_template
from pipeline.study.questions import Question, Study

SECONDS = 4
"""What rating a picture takes a person, roughly."""


def rating_page(study: Study, images: Sequence[str]) -> str:
    """images: data URIs of `study.images`. It names no method and no place."""
    script = resources.files("pipeline.study.asking").joinpath("rating.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return load_template("pipeline.study.asking").render(
        study=study.id,
        asked=study.questions + study.checks,
        minutes=minutes(study),
        allowed=f"sha256-{digest}",
        asked_about={
            "id": study.id,
            "seed": study.seed,
            "images": list(images),
            "blocks": [[_question(each) for each in block] for block in study.blocks],
        },
        script=Markup(script),
    )


def minutes(study: Study) -> int:
    """How long a rater needs, roughly."""
    return max(1, round(SECONDS * (study.questions + study.checks) * len(study.methods) / 60))


def _question(each: Question) -> dict[str, Any]:
    return {
        "id": each.id,
        "aspect": each.aspect,
        "scene": each.scene,
        "text": each.text,
        "reference": each.reference,
        "pictures": each.pictures,
    }
