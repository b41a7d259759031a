"""The heart: profiles, the actor that serves a conversation, its turns and their events."""

from hivemind.agents.agent import Agent, give_up
from hivemind.agents.events import (
    Accepted,
    Delta,
    Event,
    EventLog,
    Failed,
    Reply,
    ToolCalled,
    ToolEnded,
    Usage,
    Waiting,
)
from hivemind.agents.following import Followed, answer, follow
from hivemind.agents.given import Given
from hivemind.agents.journal import unfinished_agents
from hivemind.agents.messages import Attach, Halt, Interrupt, Resume, UserMessage
from hivemind.agents.profile import Profile, Profiles
from hivemind.agents.steps import answer_approval, expire_approvals
from hivemind.agents.turn import Resources

__all__ = [
    "Accepted",
    "Agent",
    "Attach",
    "Delta",
    "Event",
    "EventLog",
    "Failed",
    "Followed",
    "Given",
    "Halt",
    "Interrupt",
    "Profile",
    "Profiles",
    "Reply",
    "Resources",
    "Resume",
    "ToolCalled",
    "ToolEnded",
    "Usage",
    "UserMessage",
    "Waiting",
    "answer",
    "answer_approval",
    "expire_approvals",
    "follow",
    "give_up",
    "unfinished_agents",
]
