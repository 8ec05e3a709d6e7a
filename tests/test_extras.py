"""A package that only some uses need, and that is not here, is one sentence that names its extra."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sspe.extras
from sspe.errors import MissingPackageError
from sspe.extras import import_extra, install_command, spare_imports

ROOT = Path(__file__).resolve().parents[1]


def run_without(packages: str, program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """Run Python code in a fresh interpreter that finds none of the packages."""
    hide = f"import runpy, sys; sys.modules |= dict.fromkeys({packages.split()}); sys.argv = ['', *sys.argv[1:]]; "
    return subprocess.run(
        [sys.executable, "-c", hide + program, *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_a_module_of_an_extra_is_imported():
    assert import_extra("json.decoder", "app", "Reading").JSONDecoder


def test_a_missing_package_is_named_with_its_extra_and_its_use():
    with pytest.raises(MissingPackageError) as error:
        import_extra("no_such_package.figure", "plots", "Drawing a curve")
    assert str(error.value) == (
        'Drawing a curve needs the package no_such_package, which is not installed; run `pip install -e ".[plots]"`.'
    )


def test_a_package_that_lacks_another_is_not_called_missing(tmp_path, monkeypatch):
    (tmp_path / "half_there.py").write_text("import no_such_package")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        import_extra("half_there", "plots", "Drawing a curve")


def test_beside_an_installed_wheel_the_command_names_the_package(tmp_path, monkeypatch):
    assert install_command("app") == 'pip install -e ".[app]"'
    monkeypatch.setattr(sspe.extras, "__file__", str(tmp_path / "site-packages" / "sspe" / "extras.py"))
    assert install_command("app") == 'pip install "sspe[app]"'


APP = "runpy.run_path('app.py', run_name='__main__')"
COMMAND = "from sspe.cli import main; sys.exit(main())"
TRAIN_WORD2VEC = "runpy.run_path('tools/train_word2vec.py', run_name='__main__')"


@pytest.mark.parametrize(
    ("packages", "program", "arguments", "environment", "sentence"),
    [
        ("gradio", APP, "", {}, "The page needs the package gradio, which is not installed; run `{app}`."),
        ("mcp", APP, "--mcp", {}, "A tool for agents needs the package mcp, which is not installed; run `{mcp}`."),
        ("mcp", APP, "", {"SSPE_MCP": "1"}, "A tool for agents needs the package mcp, which .*{mcp}`."),
        ("matplotlib", COMMAND, "evaluate proposals --data synthetic --curve {tmp}/curve.png", {}, "--curve .*{plots}"),
        ("matplotlib", COMMAND, "evaluate localization --data synthetic --reliability {tmp}/r.png", {}, ".*{plots}"),
    ],
)  # fmt: skip
def test_each_use_without_its_package(packages, program, arguments, environment, sentence, tmp_path):
    arguments = arguments.format(tmp=tmp_path).split()
    run = run_without(packages, program, *arguments, **environment)
    assert run.returncode in (1, 2), run
    commands = {extra: re.escape(install_command(extra)) for extra in ("app", "mcp", "plots")}
    assert re.fullmatch(sentence.format(**commands) + ".*\n", run.stderr), run.stderr


def test_what_is_spared_one_package_is_there_for_the_others(tmp_path, monkeypatch):
    eager = "try:\n    import heavy_one.part\nexcept ImportError as error:\n    heavy_one = error.name\n"
    for name, source in (
        ("heavy_one/__init__", ""),
        ("heavy_one/part", ""),
        ("eager_one", eager),
        ("other_one", eager),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    spare_imports("eager_one", ["heavy_one"])
    assert importlib.import_module("eager_one").heavy_one == "heavy_one"
    assert importlib.import_module("other_one").heavy_one.part
