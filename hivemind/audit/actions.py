"""The vocabulary of the audit log: `source:subject:action`, nothing outside this list."""

from enum import StrEnum


class Action(StrEnum):
    """One kind of audited event."""

    TURN_ADMITTED = "chat:turn:admitted"
    TURN_ANSWERED = "chat:turn:answered"
    TURN_FAILED = "chat:turn:failed"
    TURN_INTERRUPTED = "chat:turn:interrupted"
    TURN_REFUSED = "chat:turn:refused"
    TOOL_CALLED = "agent:tool:called"
    TOOL_ENDED = "agent:tool:ended"
    TOOL_IN_DOUBT = "agent:tool:in-doubt"
    APPROVAL_ASKED = "agent:approval:asked"
    APPROVAL_APPROVED = "operator:approval:approved"
    APPROVAL_DENIED = "operator:approval:denied"
    AGENT_GIVEN_UP = "supervision:agent:given-up"
    RESERVATION_RELEASED = "budget:reservation:released"
    CAP_SOFT_REACHED = "budget:cap:soft-reached"
    CAP_CREATED = "admin:cap:created"
    CAP_CHANGED = "admin:cap:changed"
    CAP_DELETED = "admin:cap:deleted"
    CAP_ACKNOWLEDGED = "admin:cap:acknowledged"
    CONVERSATION_ERASED = "admin:conversation:erased"
    SERVER_STARTED = "system:server:started"
    SERVER_STOPPED = "system:server:stopped"

    @property
    def source(self) -> str:
        """Which part of the product reports it."""
        return self.value.split(":")[0]
