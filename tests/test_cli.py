"""`sspe NAME ...` hands over to `sspe.NAME`, and says what there is."""

import subprocess
import sys
from pathlib import Path

import pytest

from sspe.cli import COMMANDS, main

ROOT = Path(__file__).resolve().parents[1]


def call(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["sspe", *arguments])
    try:
        code = main()
    except SystemExit as error:  # argparse
        code = error.code
    return code, *capsys.readouterr()


@pytest.mark.parametrize("asked", ["-h", "--help"])
def test_help_lists_every_command(monkeypatch, capsys, asked):
    code, out, err = call(monkeypatch, capsys, asked)
    assert (code, err) == (0, "")
    for command, about in COMMANDS.items():
        assert f"sspe {command}" in out and about in out


def test_no_command_and_an_unknown_one(monkeypatch, capsys):
    code, out, err = call(monkeypatch, capsys)
    assert (code, out) == (2, "") and err.startswith("usage: sspe")
    for name in ("fly", "errors", "__main__", "--version", ""):
        code, out, err = call(monkeypatch, capsys, name)
        assert (code, out) == (2, "") and "usage: sspe" in err
        assert not name or err.startswith(f"There is no command {name!r}.")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command(monkeypatch, capsys, command):
    code, out, err = call(monkeypatch, capsys, command, "--help")
    assert (code, err) == (0, "") and out.startswith(f"usage: sspe {command}")


@pytest.mark.parametrize("command", COMMANDS)
def test_arguments_and_exit_code_are_handed_over(monkeypatch, capsys, command):
    given = []

    def fake(arguments):
        given.append(arguments)
        return 7

    monkeypatch.setattr(f"sspe.{command}.main", fake)
    assert call(monkeypatch, capsys, command, "--x", "a b")[0] == 7
    assert given == [["--x", "a b"]]


@pytest.mark.parametrize("module", ["sspe", "sspe.cli", "sspe.localize", "sspe.evaluate", "sspe.train"])
def test_modules_run_and_exit_with_the_code(module):
    found = subprocess.run([sys.executable, "-m", module], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert found.returncode == 2 and not found.stdout
    assert "usage:" in found.stderr and "Traceback" not in found.stderr
