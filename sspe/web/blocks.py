"""How the page takes calls: an argument left out has its default, and every error says what happened."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.exceptions import InvalidPathError

from sspe.errors import SspeError


class PageBlocks(gr.Blocks):
    """Gradio's Blocks, for callers that are programs.

    Gradio answers a call with fewer arguments than a listener has inputs, or with arguments that a component cannot
    read, with the error null, which says nothing; only its own Python client fills in defaults.
    """

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *arguments: Any, **settings: Any) -> list[Any]:
        """The values that components make of a call's inputs. Raises gr.Error, one sentence, where they cannot."""
        inputs = _filled(block_fn.fn, inputs, len(block_fn.inputs))
        try:
            return await super().preprocess_data(block_fn, inputs, *arguments, **settings)
        except gr.Error:
            raise
        except InvalidPathError:
            message = "A file of the call is none that was uploaded here; upload it first and give its path."
            raise gr.Error(message, print_exception=False) from None
        except Exception:  # each component raises what it likes for what it cannot read
            message = 'An argument of the call could not be read; "Use via API" at the foot of the page describes each.'
            raise gr.Error(message, print_exception=False) from None

    async def process_api(self, *arguments: Any, **settings: Any) -> dict[str, Any]:
        """The answer to a call. Raises gr.Error, one sentence; for a fault of ours the log has the rest."""
        try:
            return await super().process_api(*arguments, **settings)
        except gr.Error:
            raise
        except SspeError as error:
            raise gr.Error(str(error), print_exception=False) from None
        except Exception as error:
            raise gr.Error("Something went wrong here, and the log of the page says what; ask again.") from error


def _filled(function: Callable | None, inputs: list[Any], needed: int) -> list[Any]:
    """The inputs of a call and, for those left out at its end, the defaults of the listener's function."""
    if function is None or len(inputs) >= needed:
        return inputs
    parameters = list(inspect.signature(function).parameters.values())[:needed]
    missing = [p.name for p in parameters[len(inputs) :] if p.default is inspect.Parameter.empty]
    if missing:
        names = ", ".join(p.name for p in parameters)
        raise gr.Error(
            f"The call lacks {' and '.join(missing)}; its arguments are {names}, in this order.", print_exception=False
        )
    return [*inputs, *(p.default for p in parameters[len(inputs) :])]
