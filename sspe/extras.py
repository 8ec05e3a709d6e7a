"""Packages that only some uses of sspe need: the extras that ``pyproject.toml`` lists, and what to say without one."""

import sys
from collections.abc import Collection
from dataclasses import dataclass
from importlib import import_module
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType

from sspe.errors import MissingPackageError


def install_command(extra: str) -> str:
    """The command that installs an extra: of a clone of the repository, or of an installed wheel."""
    in_clone = (Path(__file__).resolve().parents[1] / "pyproject.toml").is_file()
    return f'pip install -e ".[{extra}]"' if in_clone else f'pip install "sspe[{extra}]"'


def import_extra(module: str, extra: str, purpose: str) -> ModuleType:
    """Import a module of a package that comes with an extra.

    Args:
        module: its full name, as "matplotlib.figure".
        extra: the extra that brings the package, as "plots".
        purpose: what needs it, the beginning of the error's sentence, as "Drawing a curve".

    Raises MissingPackageError, one sentence with the command that installs the extra, where the package is missing.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != package:
            raise  # the package is there, and itself lacks something
        raise MissingPackageError(
            f"{purpose} needs the package {package}, which is not installed; run `{install_command(extra)}`."
        ) from None


@dataclass(frozen=True)
class _Sparing(MetaPathFinder):
    """Says of some packages that they are not installed, to the code of one other package alone."""

    importer: str
    packages: frozenset[str]

    def find_spec(self, name: str, path=None, target=None) -> None:
        if name in self.packages:
            frame = sys._getframe(1)
            while frame is not None and "importlib" in frame.f_code.co_filename:  # of Python's own import system
                frame = frame.f_back
            if frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == self.importer:
                raise ModuleNotFoundError(f"{name} is spared {self.importer}", name=name)


def spare_imports(importer: str, packages: Collection[str]) -> None:
    """From now on the package ``importer`` finds ``packages`` not installed; everybody else does as before.

    For programs that start: NLTK imports scikit-learn and SciPy where they are installed, which takes seconds, for
    parts that nobody here uses. A library is not to do so in its user's process.
    """
    sparing = _Sparing(importer, frozenset(packages))
    if sparing not in sys.meta_path:
        sys.meta_path.insert(0, sparing)


def start_fast() -> None:
    """What the programs do first: spare NLTK what it does not need here."""
    spare_imports("nltk", ("sklearn", "scipy", "pandas", "matplotlib"))
