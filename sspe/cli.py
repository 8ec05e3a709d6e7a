"""The console command: ``sspe NAME ...`` is ``python -m sspe.NAME ...``; and the options that commands share."""

import argparse
import importlib
import os
import sys
from collections.abc import Callable

from sspe.errors import SspeError

COMMANDS = {
    "localize": "box every noun phrase of a sentence in photos",
    "index": "embed the photos of a folder for searching",
    "search": "find phrases in an indexed folder, each with its box",
    "train": "train the network on annotated photos",
    "evaluate": "measure localization, retrieval, search, proposals or phrases on annotated photos",
}


def main() -> int:
    """Hand over to the command named first; returns its exit code."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in COMMANDS:
        return importlib.import_module(f"sspe.{name}").main(sys.argv[2:])
    lines = [f"  sspe {command:10} {about}" for command, about in COMMANDS.items()]
    usage = "\n".join(["usage: sspe COMMAND ...", *lines, "`sspe COMMAND --help` lists a command's options."])
    if name in ("-h", "--help"):
        print(usage)
        return 0
    print(usage if not name else f"There is no command {name!r}.\n{usage}", file=sys.stderr)
    return 2


def exit_code(work: Callable[[], int], stopped: str = "Stopped.") -> int:
    """The exit code of a command's work: its own, or after a sentence on standard error 2 for a user's mistake.

    130 where it was stopped, with ``stopped`` for the sentence; 1 where nobody reads its output any more.
    """
    try:
        return work()
    except SspeError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(stopped, file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, `head` for one, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains once more at its exit
        return 1


def add_checkpoint_option(parser: argparse.ArgumentParser) -> None:
    """--checkpoint, for `from_pretrained`: None is the shipped one."""
    parser.add_argument("--checkpoint", help="a .safetensors file, a name or a repository (default: the shipped one)")


def add_device_options(parser: argparse.ArgumentParser) -> None:
    """--device and --precision, for `from_pretrained`."""
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: %(default)s)")
    parser.add_argument("--precision", default="auto", help="auto, float32 or bfloat16 (default: %(default)s)")


if __name__ == "__main__":
    sys.exit(main())
