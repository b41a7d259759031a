"""What an MCP server offers and answers becomes tools and texts of ours, whatever it is."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp import types

from hivemind.agents.tools.mcp import results
from hivemind.settings import McpServerSettings

TOOL = types.Tool(name="read", input_schema={"type": "object"})


def hinted(**hints):
    return TOOL.model_copy(update={"annotations": types.ToolAnnotations(**hints)})


@given(st.from_regex(r"[a-z0-9][a-z0-9-]{0,20}", fullmatch=True), st.text(min_size=1, max_size=200))
def test_every_name_is_one_that_every_provider_takes(server, tool):
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", results.name_of(server, tool))


def test_an_ordinary_name_stays_and_others_stay_apart():
    assert results.name_of("files", "read_file") == "files__read_file"
    names = {results.name_of("files", name) for name in ("a.b", "a b", "a_b", "x" * 80, "x" * 81)}
    assert len(names) == 5


def test_what_the_server_says_of_repeating_a_call():
    assert not results.repeatable(TOOL)
    assert not results.repeatable(hinted(destructive_hint=False))
    assert results.repeatable(hinted(read_only_hint=True))
    assert results.repeatable(hinted(idempotent_hint=True))


def test_texts_are_given_and_the_rest_is_named():
    resource = types.TextResourceContents(uri="file:///a.txt", text="inside")
    blob = types.BlobResourceContents(uri="file:///b.bin", blob="aGVsbG8=")
    result = types.CallToolResult(
        content=[
            types.TextContent(text="one\0"),
            types.ImageContent(data="aGVsbG8=", mime_type="image/png"),
            types.EmbeddedResource(resource=resource),
            types.EmbeddedResource(resource=blob),
            types.ResourceLink(name="c", uri="file:///c.txt"),
        ],
        is_error=True,
    )
    outcome = results.outcome(result)
    assert outcome.failed
    assert outcome.text.split("\n\n") == [
        "one",
        "[image, image/png: not shown]",
        "[resource file:///a.txt]\ninside",
        "[resource file:///b.bin, of unknown type: not shown]",
        "[resource c: file:///c.txt]",
    ]


def test_what_has_no_text_is_given_as_json_or_said_so():
    structured = types.CallToolResult(content=[], structured_content={"a": 1})
    assert results.outcome(structured).text == '{"a":1}'
    assert results.outcome(types.CallToolResult(content=[])).text == "The tool answered nothing."


def test_a_description_is_cut():
    long = TOOL.model_copy(update={"description": "x" * 10_000})
    assert len(results.description_of(long)) == results.MAX_DESCRIPTION_CHARS
    assert results.description_of(TOOL) == "read"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "either a command or a url"),
        ({"command": "x", "url": "http://example.com"}, "either a command or a url"),
        ({"command": "x", "headers": {"A": "b"}}, "for servers with a url"),
        ({"command": "x", "allow_private": True}, "for servers with a url"),
        ({"url": "http://example.com", "args": ("x",)}, "for servers with a command"),
        ({"url": "ftp://example.com"}, "http://"),
        ({"command": "x", "pass_env": ("HIVEMIND_LLM_API_KEY",)}, "not passed on"),
        ({"command": "x", "env": {"A=B": "c"}}, "pattern"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        McpServerSettings.model_validate(settings)


def test_secrets_do_not_show():
    server = McpServerSettings(url="https://example.com/mcp", headers={"Authorization": "Bearer abc"})
    assert "abc" not in repr(server)
