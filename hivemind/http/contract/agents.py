"""Agents, the questions that they put to people, and conversations."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from hivemind.agents.lifecycle import STATES as AGENT_STATES
from hivemind.agents.lifecycle import WISHES
from hivemind.agents.lifecycle import State as AgentState
from hivemind.errors import AgentBusy, Conflict, NotFound
from hivemind.http.agents import HeartbeatBody, ReasonBody, SpawnBody
from hivemind.http.approvals import State as ApprovalState
from hivemind.http.contract.chat import Usage
from hivemind.http.contract.operation import PAGE, Group, Operation, Parameter, listed, says
from hivemind.http.contract.work import Directive, Failure

AGENT = "/api/v1/agents/{agent_id}"
APPROVAL = "/api/v1/approvals/{approval_id}"
CONVERSATION = "/api/v1/conversations/{conversation_id}"


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent as it is listed."""

    id: UUID
    profile_id: UUID
    profile: str
    state: AgentState
    parent_id: UUID | None
    external: bool
    failure: str | None
    note: str | None
    heartbeat_at: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Child:
    """An agent that works for another."""

    id: UUID
    state: AgentState


@dataclass(frozen=True, slots=True)
class WholeAgent(Agent):
    """An agent with what it used in all, and who works for it."""

    usage: Usage
    children: list[Child]


@dataclass(frozen=True, slots=True)
class LiveAgent(WholeAgent):
    """The same with what its actor says, if it has one at the moment."""

    live: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as it stands beside its call."""

    id: UUID
    kind: str
    state: ApprovalState
    on_deadline: str
    deadline_at: datetime
    asked_at: datetime
    answered_at: datetime | None
    answered_by: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool with its verdict and who was asked about it."""

    id: UUID
    tool: str
    arguments: Any
    state: str
    outcome: Any
    asked_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    verdict: Any
    approvals: list[Asked]


@dataclass(frozen=True, slots=True)
class Step:
    """One call of the model, and the calls of tools that it led to."""

    step: int
    model: str
    text: str
    began_at: datetime
    ended_at: datetime | None
    usage: dict[str, int | None]
    verdict: Any
    calls: list[Call]


@dataclass(frozen=True, slots=True)
class Turn:
    """One message in and one reply out, with everything between."""

    id: UUID
    state: str
    caller: str
    model: str
    attempts: int
    parked: bool
    incomplete: str | None
    admitted_at: datetime
    ended_at: datetime | None
    message: str | None
    reply: str | None
    error: Failure | None
    usage: Usage | None
    verdicts: dict[str, Any]
    steps: list[Step]


@dataclass(frozen=True, slots=True)
class Approval:
    """A question that an agent puts to people."""

    id: UUID
    kind: str
    state: ApprovalState
    on_deadline: str
    deadline_at: datetime
    asked_at: datetime
    answered_at: datetime | None
    answered_by: str | None
    reason: str | None
    agent_id: UUID
    turn_id: UUID
    profile: str
    effect_id: UUID
    tool: str
    arguments: Any
    effect_state: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation as it is listed."""

    id: UUID
    profile_id: UUID
    profile: str
    caller: str
    created_at: datetime
    erased_at: datetime | None
    state: AgentState | None


@dataclass(frozen=True, slots=True)
class Message:
    """What was said, as the guards left it."""

    id: int
    turn_id: UUID
    role: Literal["user", "assistant"]
    text: str
    created_at: datetime


_DONE = {
    "pause": "Begin nothing more until it is resumed",
    "resume": "Go on",
    "stop": "Finish the step and end",
    "kill": "End now, with all agents below it",
}

AGENTS = Group(
    "Agents",
    "Running instances of profiles, each with its conversation or its directive.",
    (
        Operation(
            "GET /api/v1/agents",
            "Agents, newest first",
            listed(Agent),
            query=(
                Parameter("state", AgentState, f"One of {', '.join(AGENT_STATES)}."),
                Parameter("profile", str, "The slug of their profile."),
                Parameter("parent_id", UUID, "Whom they work for."),
                *PAGE,
            ),
        ),
        Operation(
            "POST /api/v1/agents",
            "Spawn an agent",
            says({"agent": WholeAgent, "directive": Directive | None}, "It is there.", 201),
            body=SpawnBody,
            refuses=(Conflict, NotFound),
            example={"profile": "hello", "directive": "Sum up what happened today."},
        ),
        Operation(
            f"GET {AGENT}",
            "One agent, with every turn and step",
            listed(Turn, "The agent and a page of its turns, newest first.", agent=LiveAgent),
            query=PAGE,
        ),
        *(
            Operation(
                f"POST {AGENT}/{wish}",
                _DONE[wish],
                says({"agent": WholeAgent}, "As it is now."),
                body=ReasonBody,
                refuses=(Conflict,),
                example={"reason": "maintenance"},
            )
            for wish in WISHES
        ),
        Operation(
            f"POST {AGENT}/interrupt",
            "End the turn that runs",
            says({"agent": WholeAgent}, "As it is now."),
            body=ReasonBody,
            refuses=(Conflict,),
        ),
        Operation(
            f"POST {AGENT}/heartbeat",
            "What an outside daemon reports of its agent",
            says({"state": AgentState}, "What the agent is to be: a daemon obeys it."),
            body=HeartbeatBody,
            refuses=(Conflict,),
            example={"state": "running", "note": "half-way"},
        ),
    ),
)
APPROVALS = Group(
    "Approvals",
    "The questions that agents put to people.",
    (
        Operation(
            "GET /api/v1/approvals",
            "What agents ask people, those that wait first",
            listed(Approval),
            query=(
                Parameter("state", ApprovalState, "How they stand."),
                Parameter("agent_id", UUID, "Who asks."),
                *PAGE,
            ),
        ),
        Operation(f"GET {APPROVAL}", "One question", says({"approval": Approval})),
        Operation(
            f"POST {APPROVAL}/approve",
            "Let the call be made",
            says({"approval": Approval}),
            body=ReasonBody,
            refuses=(Conflict,),
            example={"reason": "checked with the customer"},
        ),
        Operation(
            f"POST {APPROVAL}/deny",
            "Do not let the call be made",
            says({"approval": Approval}),
            body=ReasonBody,
            refuses=(Conflict,),
            example={"reason": "not this customer"},
        ),
    ),
)
CONVERSATIONS = Group(
    "Conversations",
    "What was said, and its erasure.",
    (
        Operation(
            "GET /api/v1/conversations", "Conversations, newest first", listed(Conversation), query=PAGE
        ),
        Operation(
            f"GET {CONVERSATION}",
            "One conversation and what was said in it",
            listed(Message, "The conversation and a page of its messages.", conversation=Conversation),
            query=PAGE,
        ),
        Operation(
            f"DELETE {CONVERSATION}",
            "Erase what was said in it",
            says({"messages": int, "entries": int}, "How much was erased."),
            refuses=(AgentBusy,),
        ),
    ),
)
