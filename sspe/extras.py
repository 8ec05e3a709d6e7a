"""Packages that only some uses of sspe need: the extras that ``pyproject.toml`` lists, and what to say without one."""

from importlib import import_module
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
