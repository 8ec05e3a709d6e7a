"""The Model Context Protocol, behind its flag: `/localize` and `/search` are tools, described by their docstrings."""

import json

import httpx
import pytest
from fake_localizer import FakeLocalizer

from sspe.web.page import build_app, launch_settings


def test_both_tools_are_described():
    pytest.importorskip("mcp", reason='"gradio[mcp]" is not installed')
    app = build_app(FakeLocalizer())
    _, url, _ = app.launch(**launch_settings(mcp=True), server_name="127.0.0.1", prevent_thread_lock=True, quiet=True)
    try:
        tool, search = httpx.get(f"{url}gradio_api/mcp/schema").raise_for_status().json()
    finally:
        app.close()
    assert tool["name"].endswith("localize")
    assert "Localize the phrases of a sentence" in tool["description"]
    assert set(tool["inputSchema"]["properties"]) == {"photo", "sentence", "phrases", "top_k"}
    assert "characters of the sentence" in json.dumps(tool["inputSchema"]["properties"]["phrases"])
    assert search["name"].endswith("search") and "show all the phrases" in search["description"]
    assert set(search["inputSchema"]["properties"]) == {"phrases", "without", "top", "at_least"}


def test_it_is_off_unless_asked_for():
    assert launch_settings()["mcp_server"] is False
