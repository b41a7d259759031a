"""Promise: what an operator can do over HTTP, the command line can do too; what it cannot is listed with its reason."""

import re

import click
import pytest

from hivemind.cli import hivemind
from hivemind.http.roles import ROUTES

API = "/api/v1"
# Of each resource: the verb, and what comes after its path for each method.
COMMANDS = {
    "GET /actors": "actors",
    "GET /actors/events": "actors",
    "GET /actors/{address}": "actors",
    "POST /actors/{address}/{deed}": "actors",
    "GET /agent-chat/audit": "audit list",
    "GET /agent-chat/audit/chain": "audit verify",
    "GET /agent-profiles": "profiles list",
    "POST /agent-profiles": "profiles create",
    "GET /agent-profiles/{slug}": "profiles show",
    "PATCH /agent-profiles/{slug}": "profiles edit",
    "DELETE /agent-profiles/{slug}": "profiles delete",
    "POST /agent-profiles/{slug}/archive": "profiles archive",
    "POST /agent-profiles/{slug}/restore": "profiles restore",
    "GET /agents": "agents list",
    "POST /agents": "agents spawn",
    "GET /agents/{agent_id}": "agents show",
    "GET /agents/{agent_id}/events": "agents follow",
    "POST /agents/{agent_id}/interrupt": "agents interrupt",
    "POST /agents/{agent_id}/kill": "agents kill",
    "POST /agents/{agent_id}/messages": "agents message",
    "POST /agents/{agent_id}/pause": "agents pause",
    "POST /agents/{agent_id}/resume": "agents resume",
    "POST /agents/{agent_id}/stop": "agents stop",
    "GET /api-keys": "keys list",
    "POST /api-keys": "keys create",
    "GET /api-keys/{key_id}": "keys list",
    "DELETE /api-keys/{key_id}": "keys revoke",
    "POST /api-keys/{key_id}/rotate": "keys rotate",
    "GET /approvals": "approvals list",
    "GET /approvals/{approval_id}": "approvals show",
    "POST /approvals/{approval_id}/approve": "approvals approve",
    "POST /approvals/{approval_id}/deny": "approvals deny",
    "GET /caps": "caps list",
    "POST /caps": "caps add",
    "GET /caps/{cap_id}": "caps list",
    "PATCH /caps/{cap_id}": "caps set",
    "DELETE /caps/{cap_id}": "caps delete",
    "POST /caps/{cap_id}/acknowledge": "caps acknowledge",
    "GET /conversations": "conversations list",
    "GET /conversations/{conversation_id}": "conversations show",
    "DELETE /conversations/{conversation_id}": "conversations erase",
    "GET /costs": "costs",
    "GET /directives": "directives list",
    "POST /directives": "directives give",
    "GET /directives/{directive_id}": "directives show",
    "PATCH /directives/{directive_id}": "directives edit",
    "DELETE /directives/{directive_id}": "directives delete",
    "POST /directives/{directive_id}/cancel": "directives cancel",
    "POST /guards/explain": "guards explain",
    "GET /guards/rules": "guards rules",
    "GET /health": "health",
    "GET /health/history": "health",
    "GET /knowledge": "knowledge list",
    "POST /knowledge": "knowledge add",
    "GET /knowledge/search": "knowledge search",
    "GET /knowledge/{document_id}": "knowledge show",
    "PUT /knowledge/{document_id}": "knowledge add",
    "DELETE /knowledge/{document_id}": "knowledge remove",
    "GET /kill-switch": "kill-switch",
    "PUT /kill-switch": "kill-switch",
    "POST /public/agents/chat/{slug}": "chat",
    "POST /public/agents/chat/{slug}/resume": "chat",
    "WS /public/agents/chat/{slug}/ws": "chat",
    "GET /schedules": "schedules list",
    "POST /schedules": "schedules add",
    "POST /schedules/preview": "schedules preview",
    "GET /schedules/{schedule_id}": "schedules show",
    "PATCH /schedules/{schedule_id}": "schedules edit",
    "DELETE /schedules/{schedule_id}": "schedules delete",
    "GET /schedules/{schedule_id}/next": "schedules next",
    "POST /schedules/{schedule_id}/pause": "schedules pause",
    "POST /schedules/{schedule_id}/resume": "schedules resume",
    "POST /schedules/{schedule_id}/run": "schedules run",
    "GET /schedules/{schedule_id}/ticks": "schedules ticks",
    "GET /settings": "config explain",
    "GET /supervision": "supervision show",
    "PATCH /supervision": "supervision set",
    "GET /tasks": "tasks list",
    "POST /tasks": "tasks add",
    "GET /tasks/{task_id}": "tasks show",
    "PATCH /tasks/{task_id}": "tasks edit",
    "DELETE /tasks/{task_id}": "tasks delete",
    "POST /tasks/{task_id}/run": "tasks run",
    "GET /users": "users list",
    "POST /users": "users add",
    "GET /users/{user_id}": "users show",
    "PATCH /users/{user_id}": "users role",
    "DELETE /users/{user_id}": "users delete",
    "GET /users/{user_id}/sessions": "users show",
    "DELETE /users/{user_id}/sessions/{session_id}": "users sign-out",
}
# A pattern over routes, and why there is no command.
NONE_FOR = {
    r"\w+ /auth/.*": "a session is for browsers: the command line has a key",
    r"POST /api/v1/agents/\{agent_id\}/heartbeat": "what a daemon says of itself",
    r"WS /api/v1/agents/\{agent_id\}/ws": "the same as messages and events",
    r"POST /api/v1/integrations/.*": "what another system says",
    r"GET /api/v1/knowledge/passages/.*": "what a citation in a chat leads to",
    r"POST /mcp": "for MCP clients: `hivemind mcp` offers the same",
    r"\w+ /v1/.*": "for clients of OpenAI's dialect",
    r"GET /api/(docs.*|v1/openapi\.json)": "for programmers and their tools",
    r"GET /(?!api/|v1/|auth/).*": "a page of the web UI, or what belongs to it; metrics",
    r"\w+ /api/admin/.*": "the same routes under another name",
}


@pytest.mark.parametrize("route", sorted(ROUTES))
def test_a_route_has_its_command_or_a_reason(route):
    method, path = route.split(" ")
    if any(re.fullmatch(pattern, route) for pattern in NONE_FOR):
        return
    words = COMMANDS[f"{method} {path.removeprefix(API)}"].split()
    command = hivemind
    for word in words:
        command = command.get_command(click.Context(command), word)
        assert command is not None, f"{route}: there is no `hivemind {' '.join(words)}`"


def test_no_command_is_listed_for_a_route_that_is_gone():
    assert {f"{method} {API}{path}" for method, path in map(str.split, COMMANDS)} <= set(ROUTES)
