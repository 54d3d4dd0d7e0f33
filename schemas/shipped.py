"""What ships with Unscene beside its code: the small models, the jobs, the demo's pictures. Where they lie, and a job
by its name.

In a checkout they lie beside the packages. A wheel has them inside the package `unscene` (setup.py puts them there): a
folder `models`, `jobs` or `demo` at the top of an environment would be anybody's.
"""

from __future__ import annotations

import json
import re
from importlib import metadata
from pathlib import Path

CODE = ("schemas", "stages", "pipeline", "unscene")
"""The packages, which lie side by side in a checkout, in an environment, and in what a cluster is sent."""
BESIDE = Path(__file__).resolve().parents[1]
"""The folder that holds them."""
_INSIDE = BESIDE / "unscene" / "bundled"
INSTALLED = _INSIDE.is_dir()
"""Whether this is no checkout: what lies beside the packages is other people's then."""
SHIPPED = _INSIDE if INSTALLED else BESIDE
"""The folder that holds `models`, `jobs` and `demo`."""
_PLACE = re.compile(r"^(\s+(?:uri|coco): )(demo/\S+)", re.MULTILINE)


def job_names() -> list[str]:
    """Names of the jobs that ship, as `unscene run NAME` takes them."""
    return sorted(file.stem for file in (SHIPPED / "jobs").glob("*.yaml"))


def is_job(name: str | Path) -> bool:
    """Whether a job spec given so is one that ships: no file of that name is here, and a job is."""
    return not Path(name).is_file() and str(name) in job_names()


def job_text(name: str | Path) -> str:
    """The YAML of a job that ships. The demo's pictures stand there by where they lie on this machine; all else counts
    from the folder that a command is typed in, as in any job."""
    text = (SHIPPED / "jobs" / f"{name}.yaml").read_text(encoding="utf-8")
    return _PLACE.sub(lambda line: line[1] + json.dumps(str(SHIPPED / line[2]), ensure_ascii=False), text)


def job_title(name: str) -> str:
    """The first sentence of the comment that the job opens with."""
    lines = (SHIPPED / "jobs" / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    opening = " ".join(line.removeprefix("#").strip() for line in lines[: lines.index("#")])
    return re.split(r"\.\s", opening, maxsplit=1)[0].removesuffix(".")


def version() -> str:
    """The installed version, or what stands for it where the code alone has been copied, as to a cluster."""
    try:
        return metadata.version("unscene")
    except metadata.PackageNotFoundError:
        return "not installed"
