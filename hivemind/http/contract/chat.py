"""Public chat, what operators say to agents, and the dialects of other protocols."""

from dataclasses import dataclass, fields
from typing import Any, Literal
from uuid import UUID

from hivemind.errors import (
    AgentBusy,
    AgentEnded,
    AgentUnavailable,
    ApprovalRequired,
    BudgetExceeded,
    Conflict,
    GuardRefused,
    InputTooLong,
    Interrupted,
    NotFound,
    NotPermitted,
    Overloaded,
    PriceUnknown,
    ProviderError,
    ProviderRejected,
    ProviderUnavailable,
    RateLimited,
    SwitchedOff,
    TokenExpired,
)
from hivemind.http.agent_streams import AgentFrame, SayBody
from hivemind.http.chat import Frame, MessageBody, ResumeBody
from hivemind.http.contract.operation import JSON, SSE, Answer, Group, Operation, Parameter, says
from hivemind.http.openai_body import CompletionBody

CHAT = "/api/v1/public/agents/chat/{slug}"
AGENT = "/api/v1/agents/{agent_id}"


@dataclass(frozen=True, slots=True)
class Usage:
    """What a turn used."""

    input_tokens: int
    output_tokens: int
    cost_micros: int


@dataclass(frozen=True, slots=True)
class ChatReply:
    """The whole answer, and what it takes to go on."""

    reply: str
    conversation_id: UUID
    conversation_token: str
    turn_id: UUID
    usage: Usage


@dataclass(frozen=True, slots=True)
class AgentReply:
    """The whole answer of an agent, for operators; `incomplete` names the bound that cut it short."""

    reply: str
    agent_id: UUID
    turn_id: UUID
    usage: Usage
    incomplete: str | None


@dataclass(frozen=True, slots=True)
class Model:
    """A profile as a model."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


@dataclass(frozen=True, slots=True)
class CompletionUsage:
    """What a completion used."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


@dataclass(frozen=True, slots=True)
class Choice:
    """The one answer of a completion."""

    index: int
    message: dict[str, Any]
    finish_reason: str
    logprobs: None


@dataclass(frozen=True, slots=True)
class Completion:
    """A completion, whole."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: CompletionUsage


TURN = (
    AgentBusy,
    AgentEnded,
    AgentUnavailable,
    ApprovalRequired,
    BudgetExceeded,
    GuardRefused,
    InputTooLong,
    Interrupted,
    Overloaded,
    PriceUnknown,
    ProviderError,
    ProviderRejected,
    ProviderUnavailable,
    RateLimited,
    SwitchedOff,
)
"""What may come of a message."""
KEY = Parameter("Idempotency-Key", str, "The same key again gets the first answer.", "header")
PLACE: dict[str, Any] = {"epoch": int, "seq": int}
ERROR: dict[str, Any] = {**PLACE, "error": dict[str, Any]}


def _placed(reply: type[ChatReply | AgentReply]) -> dict[str, Any]:
    """A reply as the last event of a stream."""
    return {**PLACE, **{field.name: field.type for field in fields(reply)}}


EVENTS: dict[str, Any] = {
    "accepted": {**PLACE, "turn_id": UUID, "conversation_id": UUID, "conversation_token": str},
    "delta": {**PLACE, "text": str},
    "waiting": PLACE,
    "reset": PLACE,
    "reply": _placed(ChatReply),
    "error": ERROR,
}
AGENT_EVENTS: dict[str, Any] = {
    "accepted": {**PLACE, "turn_id": UUID},
    "delta": {**PLACE, "text": str},
    "tool": {**PLACE, "effect_id": UUID, "tool": str, "arguments": dict[str, Any]},
    "tool_result": {**PLACE, "effect_id": UUID, "tool": str, "state": str, "outcome": Any},
    "waiting": {**PLACE, "effect_ids": list[UUID]},
    "reset": PLACE,
    "reply": _placed(AgentReply),
    "error": ERROR,
}
_EVENT: dict[str, Any] = {"event?": str, "id?": str, "data": str}
_RPC_ERROR: dict[str, Any] = {
    "jsonrpc": Literal["2.0"],
    "id": str | int | None,
    "error": {"code": int, "message": str, "data?": Any},
}
ANSWERED = {200: Answer("The reply; or its events as they come.", {JSON: ChatReply}, EVENTS)}
AGENT_ANSWERED = {200: Answer("The reply; or its events as they come.", {JSON: AgentReply}, AGENT_EVENTS)}
SWITCHES = {101: Answer("The connection is a WebSocket from here on.")}

PUBLIC = Group(
    "Public chat",
    "For everybody, without a key: profiles of tier 1.",
    (
        Operation(
            f"POST {CHAT}",
            "Say something",
            ANSWERED,
            body=MessageBody,
            query=(KEY,),
            refuses=(*TURN, NotPermitted, TokenExpired),
            told="With `Accept: text/event-stream` the answer comes piece by piece.",
            example={"message": "What are your opening hours?"},
        ),
        Operation(
            f"POST {CHAT}/resume",
            "Take up the rest of a turn",
            ANSWERED,
            body=ResumeBody,
            query=(Parameter("Last-Event-ID", str, "`<epoch>.<seq>` of the event seen last.", "header"),),
            refuses=(*TURN, NotPermitted, TokenExpired),
        ),
        Operation(
            f"WS {CHAT}/ws",
            "Talk both ways",
            SWITCHES,
            frames={"client": Frame, "server": EVENTS},
        ),
    ),
)
TALK = Group(
    "Talking to agents",
    "What operators say to an agent and what they see of its turns.",
    (
        Operation(
            f"POST {AGENT}/messages",
            "Say something to an agent",
            AGENT_ANSWERED,
            body=SayBody,
            query=(KEY,),
            refuses=(*TURN, Conflict),
            example={"message": "How far are you?"},
        ),
        Operation(
            f"GET {AGENT}/events",
            "Follow the turn that is under way",
            {200: Answer("The events, as they come.", events=AGENT_EVENTS)},
            query=(Parameter("Last-Event-ID", str, "The id of the event seen last.", "header"),),
            refuses=(AgentUnavailable, Conflict, Interrupted, Overloaded, SwitchedOff),
        ),
        Operation(
            f"WS {AGENT}/ws",
            "Talk to an agent both ways",
            SWITCHES,
            frames={"client": AgentFrame, "server": AGENT_EVENTS},
        ),
    ),
)
DIALECTS = Group(
    "Other dialects",
    "The agents as clients of other protocols know them.",
    (
        Operation(
            "POST /v1/chat/completions",
            "One answer in OpenAI's dialect",
            {200: Answer("The completion; or its chunks as they come.", {JSON: Completion, SSE: _EVENT})},
            body=CompletionBody,
            query=(KEY,),
            refuses=(*TURN, Conflict, NotFound),
            told="A profile is a model.",
            example={"model": "hello", "messages": [{"role": "user", "content": "Who are you?"}]},
            in_dialect=True,
        ),
        Operation(
            "GET /v1/models",
            "The profiles, as models",
            says({"object": Literal["list"], "data": list[Model]}),
            in_dialect=True,
        ),
        Operation("GET /v1/models/{model}", "One profile, as a model", says(Model), in_dialect=True),
        Operation(
            "POST /mcp",
            "The agents as tools of an MCP client",
            {
                200: Answer("The answer of JSON-RPC.", {JSON: dict[str, Any], SSE: _EVENT}),
                400: Answer("An error of JSON-RPC.", {JSON: _RPC_ERROR}),
                202: Answer("Taken note of; there is nothing to answer."),
            },
            body=dict[str, Any],
            told="Streamable HTTP without sessions, as the Model Context Protocol has it.",
        ),
    ),
)
