"""Every error that Hivemind raises on purpose, each with a stable code.

The first line of a class's docstring is its default message. The code goes out over HTTP, into the audit
log and into the docs; `hivemind.http.problems` is the only table from class to status. An exception that
is not listed here is a defect: it is never caught below a supervisor.
"""

from typing import ClassVar


class HivemindError(Exception):
    """Something went wrong inside Hivemind."""

    code: ClassVar[str] = "internal_error"

    def __init__(
        self,
        message: str | None = None,
        *,
        remedy: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        self.message = message or (type(self).__doc__ or "").partition("\n")[0].rstrip(".")
        self.remedy = remedy
        self.retry_after_seconds = retry_after_seconds
        super().__init__(self.message)


class ConfigError(HivemindError):
    """The configuration cannot be used."""

    code = "config_invalid"


class InvalidRequest(HivemindError):
    """The request is not well formed."""

    code = "invalid_request"


class BodyTooLarge(InvalidRequest):
    """The request body is larger than this server reads."""

    code = "body_too_large"


class UnsupportedMediaType(InvalidRequest):
    """The request body has to be application/json."""

    code = "unsupported_media_type"


class MethodNotAllowed(InvalidRequest):
    """This address does not answer to this method."""

    code = "method_not_allowed"

    def __init__(self, message: str | None = None, *, allowed: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.allowed = allowed


class InvalidFields(InvalidRequest):
    """Some fields of the request are missing or wrong."""

    code = "invalid_fields"

    def __init__(self, message: str | None = None, *, fields: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.fields = fields


class NotAuthenticated(HivemindError):
    """This needs a key or a session."""

    code = "not_authenticated"


class NotFound(HivemindError):
    """There is nothing at this address."""

    code = "not_found"


class Conflict(HivemindError):
    """The request conflicts with the present state."""

    code = "conflict"


class AgentBusy(Conflict):
    """The agent is still working on the message before."""

    code = "agent_busy"


class Refused(HivemindError):
    """The request was refused.

    `detail` and `text` are what the audit log keeps of the reason, the text as the guards left it; callers
    never see them.
    """

    code = "refused"

    def __init__(
        self,
        message: str | None = None,
        *,
        remedy: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy, retry_after_seconds=retry_after_seconds)
        self.detail: dict[str, object] = {}
        self.text: str | None = None


class NotPermitted(Refused):
    """This is not allowed for this caller."""

    code = "not_permitted"


class TokenExpired(NotPermitted):
    """The conversation token has expired."""

    code = "token_expired"


class RateLimited(Refused):
    """Too many requests: try again later."""

    code = "rate_limited"


class Overloaded(Refused):
    """The server has more work than it can take: try again later."""

    code = "overloaded"


class LimitsUnknown(Overloaded):
    """It is not known yet how much was asked before: try again in a moment."""

    code = "limits_unknown"


class SwitchUnknown(Overloaded):
    """It is not known whether an operator has switched this off: try again in a moment."""

    code = "switch_unknown"


class MailboxFull(Overloaded):
    """The actor has more messages waiting than it may keep: try again later."""

    code = "mailbox_full"


class SwitchedOff(Refused):
    """An operator has switched this off."""

    code = "switched_off"


class InputTooLong(Refused):
    """The message is longer than this agent accepts."""

    code = "input_too_long"


class GuardRefused(Refused):
    """The message was refused by a guard."""

    code = "guard_refused"


class GuardFailed(GuardRefused):
    """The text could not be checked, so it was refused: try again later."""

    code = "guard_failed"


class BudgetExceeded(Refused):
    """The spending limit does not cover this request."""

    code = "budget_exceeded"


class ApprovalRequired(Refused):
    """Most of a spending limit is used up, and a person has to agree to more."""

    code = "approval_required"


class PriceUnknown(Refused):
    """The model has no price, so its cost cannot be limited."""

    code = "price_unknown"


class AgentUnavailable(HivemindError):
    """The agent cannot answer at the moment: try again later."""

    code = "agent_unavailable"


class Interrupted(HivemindError):
    """The turn was ended before it was answered."""

    code = "interrupted"


class AgentEnded(Interrupted):
    """The agent was stopped and answers no more."""

    code = "agent_ended"


class DatabaseUnavailable(HivemindError):
    """The database does not answer at the moment."""

    code = "database_unavailable"


class Unreachable(HivemindError):
    """Another server cannot be reached or broke off."""

    code = "unreachable"


class TargetRefused(Unreachable):
    """This address may not be called from here."""

    code = "target_refused"


class IntegrationError(HivemindError):
    """A connected system failed."""

    code = "integration_failed"


class MigrationRefused(HivemindError):
    """The database and this release do not fit together."""

    code = "migration_refused"


class ProviderError(HivemindError):
    """The model provider failed."""

    code = "llm_failed"


class ProviderUnavailable(ProviderError):
    """No model can be reached at the moment."""

    code = "llm_unavailable"


class ProviderRejected(ProviderError):
    """The model provider rejected the request."""

    code = "llm_rejected"


class RemoteError(HivemindError):
    """The server answered with an error."""

    code = "remote_error"

    def __init__(
        self,
        message: str | None = None,
        *,
        answered_code: str,
        remedy: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy, retry_after_seconds=retry_after_seconds)
        self.answered_code = answered_code
