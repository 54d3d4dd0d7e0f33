"""Nothing that is data is run (invariant 7): a walk over what every file of ours imports and calls."""

from __future__ import annotations

import ast
import re

import pytest

from tests.support import ROOT

ROOMS = ("schemas", "stages", "pipeline", "unscene", "models", "benchmarks", "docs", "demo")
NO_MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
ERRORS_ONLY = {"pickle": {"UnpicklingError", "PicklingError", "PickleError"}}
"""What may be named of a module: the errors that others raise."""


def unsafe_in(code: str) -> list[str]:
    """What in a file runs what it reads, or hands a text to a shell: a line each, `3: torch.load without ...`."""
    tree = ast.parse(code)
    safe_loaders = {"SafeLoader", "CSafeLoader"} | {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base).endswith("SafeLoader") for base in node.bases)
    }
    found = [(line, what) for node in ast.walk(tree) for line, what in _unsafe(node, safe_loaders)]
    used = {what.partition(".")[0] for _, what in found if "." in what}  # of a module whose errors alone are named
    return [f"{line}: {what}" for line, what in found if what not in ERRORS_ONLY or what in used]


def _unsafe(node: ast.AST, safe_loaders: set[str]) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    if isinstance(node, ast.ImportFrom):
        root = str(node.module).split(".")[0]
        names = {alias.name for alias in node.names}
        if root in NO_MODULES and not names <= ERRORS_ONLY.get(root, set()):
            found.append((node.lineno, f"{root}.load by its name"))
        if root == "os" and names & {"system", "popen"}:
            found.append((node.lineno, "a shell"))
        if root in ("torch", "yaml") and "load" in names:
            found.append((node.lineno, f"{root}.load by another name"))
    elif isinstance(node, ast.Import):
        found += [
            (node.lineno, name) for name in (alias.name.split(".")[0] for alias in node.names) if name in NO_MODULES
        ]
    elif isinstance(node, ast.Attribute):
        root = ast.unparse(node.value)
        if root in NO_MODULES and node.attr not in ERRORS_ONLY.get(root, set()):
            found.append((node.lineno, f"{root}.{node.attr}"))
    elif isinstance(node, ast.Call):
        name, words = ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}
        if name in ("eval", "exec", "builtins.eval", "builtins.exec", "os.system", "os.popen"):
            found.append((node.lineno, name))
        if name.endswith("torch.load") and words.get("weights_only") != "True":
            found.append((node.lineno, "torch.load without weights_only=True"))
        if words.get("trust_remote_code", "False") != "False":
            found.append((node.lineno, "trust_remote_code"))
        if words.get("allow_pickle", "False") != "False":
            found.append((node.lineno, "allow_pickle"))
        if words.get("shell", "False") != "False":
            found.append((node.lineno, "shell=True"))
        if re.fullmatch(r"yaml\.\w*load\w*", name) and name not in ("yaml.safe_load", "yaml.safe_load_all"):
            given = words.get("Loader", ast.unparse(node.args[1]) if len(node.args) > 1 else "")
            if given.split(".")[-1] not in safe_loaders:
                found.append((node.lineno, f"{name} without a SafeLoader"))
    elif isinstance(node, ast.Constant) and node.value == "trust_remote_code":
        found.append((node.lineno, "trust_remote_code"))
    return found


def test_nothing_of_ours_runs_what_it_reads() -> None:
    files = [file for room in ROOMS for file in sorted((ROOT / room).rglob("*.py"))]
    assert len(files) > 300
    found = {
        file.relative_to(ROOT).as_posix(): unsafe_in(file.read_text("utf-8")) for file in (*files, ROOT / "setup.py")
    }
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "planted",
    [
        "import torch\ntorch.load(path)",
        "import torch\ntorch.load(path, weights_only=False)",
        "from torch import load\nload(path)",
        "import pickle\npickle.loads(data)",
        "from pickle import loads",
        "import joblib",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "options = {'trust_remote_code': True}",
        "import yaml\nyaml.load(text)",
        "import yaml\nyaml.load(text, Loader=yaml.Loader)",
        "import yaml\nyaml.unsafe_load(text)",
        "import yaml\nyaml.full_load(text)",
        "eval(text)",
        "exec(text)",
        "import os\nos.system(text)",
        "from os import system",
        "import subprocess\nsubprocess.run(text, shell=True)",
    ],
)
def test_every_way_is_seen(planted: str) -> None:
    assert unsafe_in(planted)


@pytest.mark.parametrize(
    "fine",
    [
        "import torch\ntorch.load(path, weights_only=True)",
        "import pickle\ntry: ...\nexcept pickle.UnpicklingError: ...",
        "import yaml\nclass Mine(yaml.SafeLoader): ...\nyaml.load(text, Loader=Mine)",
        "import yaml\nyaml.safe_load(text)",
        "model.eval()",
        "import subprocess\nsubprocess.run([text])",
    ],
)
def test_what_is_fine_is_let_be(fine: str) -> None:
    assert not unsafe_in(fine)
