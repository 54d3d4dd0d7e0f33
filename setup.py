"""What a wheel holds besides the packages: the folders of the checkout that `schemas/shipped.py` finds again.

All else stands in pyproject.toml. They are copied, and not declared as packages with data: a job is nothing to import,
and an editable installation, which needs no copy, may then lack them (the nodes of ray_cluster.yaml do).
"""

from __future__ import annotations

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

DEMO = ("demo/bucket/*", "demo/parts/*", "demo/protocol/*")
BUNDLED = ("models/NOTICE", "models/seedling/**/*", "jobs/*.yaml", "demo/NOTICE", *DEMO)
INTO = Path("unscene", "bundled")


class BuildWithBundled(build_py):
    """Copies what is `BUNDLED` beside the code."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for source, target in self._bundled().items():
                self.mkpath(str(Path(target).parent))
                self.copy_file(source, target, preserve_mode=False)

    def get_source_files(self) -> list[str]:
        """For a source distribution, which a wheel may be built from."""
        return [*super().get_source_files(), *self._bundled()]

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        return [*super().get_outputs(include_bytecode), *self._bundled().values()]

    def _bundled(self) -> dict[str, str]:
        files = [file for pattern in BUNDLED for file in sorted(Path().glob(pattern)) if file.is_file()]
        return {str(file): str(Path(self.build_lib) / INTO / file) for file in files}


setup(cmdclass={"build_py": BuildWithBundled})
