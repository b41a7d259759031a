"""A small OTP on trio that speaks pykka: actors, supervision, names, introspection.

It knows nothing of agents, SQL or HTTP. The test kit is in `hivemind.actors.testing`.
"""

from pykka import ActorDeadError, Timeout

from hivemind.actors.actor import Actor
from hivemind.actors.address import Address
from hivemind.actors.future import Future
from hivemind.actors.policy import ChildSpec, Policies, Policy, Sourced
from hivemind.actors.ref import ActorRef
from hivemind.actors.rows import Changes, Reconcile, RowSupervisor
from hivemind.actors.signals import (
    ActorFailed,
    CallTimeout,
    Down,
    Escalated,
    Exit,
    GivenUp,
    LinkExit,
    StartFailed,
    WouldDeadlock,
)
from hivemind.actors.snapshot import Snapshot, StateChange, Tree
from hivemind.actors.supervisor import (
    ChildFacts,
    CountChildren,
    RestartChild,
    ResumeChild,
    StartChild,
    StopChild,
    Supervisor,
    SuspendChild,
    WhichChildren,
)
from hivemind.actors.system import ActorSystem, current_system
from hivemind.errors import MailboxFull

__all__ = [
    "Actor",
    "ActorDeadError",
    "ActorFailed",
    "ActorRef",
    "ActorSystem",
    "Address",
    "CallTimeout",
    "Changes",
    "ChildFacts",
    "ChildSpec",
    "CountChildren",
    "Down",
    "Escalated",
    "Exit",
    "Future",
    "GivenUp",
    "LinkExit",
    "MailboxFull",
    "Policies",
    "Policy",
    "Reconcile",
    "RestartChild",
    "ResumeChild",
    "RowSupervisor",
    "Snapshot",
    "Sourced",
    "StartChild",
    "StartFailed",
    "StateChange",
    "StopChild",
    "Supervisor",
    "SuspendChild",
    "Timeout",
    "Tree",
    "WhichChildren",
    "WouldDeadlock",
    "current_system",
]
