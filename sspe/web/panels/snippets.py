"""Lines of code that give the visitor's very result again: in Python, over the page's address, and with curl.

ADDRESS stands for the page's address: the server behind a proxy does not know it, and the browser puts its own in.
"""

from __future__ import annotations

import json
import shlex
from typing import Any

from sspe.web.service import Question

ADDRESS = "{address}"


def python_snippet(question: Question) -> str:
    """Python code that localizes through the library, without a server; to be run beside the photo."""
    arguments = [repr(question.photo_name), "sentence"]
    names = "Localizer"
    if question.spans is not None:
        names += ", phrases_at"
        arguments.append(f"phrases_at(sentence, {_plain_spans(question)})")
    if question.top_k != 1:
        arguments.append(f"top_k={question.top_k}")
    return (
        f"from sspe import {names}\n\n"
        f"sentence = {question.sentence!r}\n"
        f"result = Localizer.from_pretrained()({', '.join(arguments)})\n"
        "print(result.to_dict())\n"
    )


def client_snippet(question: Question) -> str:
    """Python code that asks the page's endpoint with gradio_client; to be run beside the photo."""
    lines = [f"photo=handle_file({question.photo_name!r})", f"sentence={question.sentence!r}"]
    if question.spans is not None:
        lines.append(f"phrases={_plain_spans(question)}")
    if question.top_k != 1:
        lines.append(f"top_k={question.top_k}")
    arguments = "".join(f"    {line},\n" for line in [*lines, 'api_name="/localize"'])
    return (
        "from gradio_client import Client, handle_file\n\n"
        f'client = Client("{ADDRESS}")\n'
        f"result = client.predict(\n{arguments})\n"
        "print(result)\n"
    )


def curl_snippet(question: Question) -> str:
    """Three calls of curl: upload the photo, ask, read the answer; to be run beside the photo."""
    arguments: list[Any] = [question.sentence, _plain_spans(question), question.top_k]
    # In JSON an apostrophe may be written as \u0027, so the quotes of the shell stay whole.
    plain = json.dumps(arguments)[1:-1].replace("'", "\\u0027")
    form = shlex.quote(f'files=@"{_curl_name(question.photo_name)}"')
    return rf"""URL={ADDRESS}gradio_api
FILE=$(curl -s -F {form} "$URL/upload" | sed 's/^\["//; s/"\]$//')
ARGUMENTS='{plain}'
EVENT=$(curl -s "$URL/call/localize" -H 'Content-Type: application/json' \
  -d '{{"data": [{{"path": "'"$FILE"'", "meta": {{"_type": "gradio.FileData"}}}}, '"$ARGUMENTS"']}}' \
  | sed 's/.*"event_id": *"//; s/".*//')
curl -sN "$URL/call/localize/$EVENT"
"""


def _plain_spans(question: Question) -> list[list[int]] | None:
    return None if question.spans is None else [list(span) for span in question.spans]


def _curl_name(name: str) -> str:
    """A file name between the double quotes that curl reads in a form."""
    return name.replace("\\", "\\\\").replace('"', '\\"')
