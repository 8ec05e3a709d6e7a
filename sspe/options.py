"""Options that several command lines share, so that each reads and means the same everywhere."""

import argparse

INCOMPLETE = ("refuse", "skip")  # as in sspe.data.captions, which command lines import late


def add_checkpoint_option(parser: argparse.ArgumentParser) -> None:
    """--checkpoint, for `from_pretrained`: None is the shipped one."""
    parser.add_argument("--checkpoint", help="a .safetensors file, a name or a repository (default: the shipped one)")


def add_device_options(parser: argparse.ArgumentParser) -> None:
    """--device and --precision, for `from_pretrained`."""
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: %(default)s)")
    parser.add_argument("--precision", default="auto", help="auto, float32 or bfloat16 (default: %(default)s)")
