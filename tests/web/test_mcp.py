"""The Model Context Protocol, behind its flag: `/localize` is a tool, described by its docstring."""

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from fake_localizer import FakeLocalizer

from sspe.web.page import build_app, launch_settings

ROOT = Path(__file__).resolve().parents[2]


def test_the_one_tool_is_described():
    pytest.importorskip("mcp", reason='"gradio[mcp]" is not installed')
    app = build_app(FakeLocalizer())
    _, url, _ = app.launch(**launch_settings(mcp=True), server_name="127.0.0.1", prevent_thread_lock=True, quiet=True)
    try:
        (tool,) = httpx.get(f"{url}gradio_api/mcp/schema").raise_for_status().json()
    finally:
        app.close()
    assert tool["name"].endswith("localize")
    assert "Localize the phrases of a sentence" in tool["description"]
    assert set(tool["inputSchema"]["properties"]) == {"photo", "sentence", "phrases", "top_k"}
    assert "characters of the sentence" in json.dumps(tool["inputSchema"]["properties"]["phrases"])


def test_it_is_off_unless_asked_for():
    assert launch_settings()["mcp_server"] is False


@pytest.mark.parametrize("how", [{"flag": ["--mcp"]}, {"env": "1"}])
def test_without_its_package_one_sentence_says_so(how):
    hide = "import importlib.util as u, runpy, sys; find = u.find_spec;"
    hide += "u.find_spec = lambda name, *more: None if name == 'mcp' else find(name, *more);"
    hide += "sys.argv[0] = 'app.py'; runpy.run_path('app.py', run_name='__main__')"
    said = subprocess.run(
        [sys.executable, "-c", hide, *how.get("flag", [])],
        cwd=ROOT,
        env=os.environ | {"SSPE_MCP": how.get("env", "")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert said.returncode == 1
    assert said.stderr.strip() == 'MCP was asked for and its package is not here: pip install -e ".[mcp]"'
