"""Every error that Hivemind raises on purpose, each with a stable code.

The first line of a class's docstring is its default message. The code goes out over HTTP, into the audit
log and into the docs; `hivemind.http.problems` is the only table from class to status. `advice` is what to
do about it where the error itself says nothing better: for the command line and the reference. An exception
that is not listed here is a defect: it is never caught below a supervisor.
"""

from collections.abc import Iterator
from typing import ClassVar


class HivemindError(Exception):
    """Something went wrong inside Hivemind."""

    code: ClassVar[str] = "internal_error"
    advice: ClassVar[str] = "A defect: look into the server's log at this time, and report it."

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
    advice = "Mend the setting that is named; `hivemind config explain` shows all that are in force."


class InvalidRequest(HivemindError):
    """The request is not well formed."""

    code = "invalid_request"
    advice = "Compare the request with the reference of the HTTP API."


class BodyTooLarge(InvalidRequest):
    """The request body is larger than this server reads."""

    code = "body_too_large"
    advice = "Send less at once, or raise `server.max_body_bytes`, for documents `server.max_document_bytes`."


class UnsupportedMediaType(InvalidRequest):
    """The request body has to be application/json."""

    code = "unsupported_media_type"
    advice = "Send JSON with the header `Content-Type: application/json`."


class MethodNotAllowed(InvalidRequest):
    """This address does not answer to this method."""

    code = "method_not_allowed"
    advice = "Use a method that the header `Allow` names."

    def __init__(self, message: str | None = None, *, allowed: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.allowed = allowed


class InvalidFields(InvalidRequest):
    """Some fields of the request are missing or wrong."""

    code = "invalid_fields"
    advice = "Mend the fields that are named."

    def __init__(self, message: str | None = None, *, fields: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.fields = fields


class NotAuthenticated(HivemindError):
    """This needs a key or a session."""

    code = "not_authenticated"
    advice = "Send a key that counts, or sign in again."


class SignInFailed(NotAuthenticated):
    """Signing in at the identity provider did not work."""

    code = "sign_in_failed"
    advice = "Try again from the sign-in page; if it goes on, the server's log says what was wrong."


class IdentityProviderUnavailable(HivemindError):
    """The identity provider does not answer as it should."""

    code = "identity_provider_unavailable"
    advice = "Try again in a minute; an admin looks at `hivemind doctor` and the `oidc` settings."


class NotFound(HivemindError):
    """There is nothing at this address."""

    code = "not_found"
    advice = "Check the address, the slug or the id; what was removed or is not yours is not found either."


class Conflict(HivemindError):
    """The request conflicts with the present state."""

    code = "conflict"
    advice = "Look at how it stands now, then ask again if it is still wanted."


class AlreadyRegistered(Conflict):
    """The first account has been made already."""

    code = "already_registered"
    advice = "Sign in; an admin makes further accounts."


class PasswordsOff(Conflict):
    """Passwords are not used here: people sign in at the identity provider."""

    code = "passwords_off"
    advice = "Sign in at the identity provider in front of this server, or turn `auth.forward_auth` off."


class AgentBusy(Conflict):
    """The agent is still working on the message before."""

    code = "agent_busy"
    advice = (
        "Wait for the answer that is under way, or interrupt it; or set the profile's `when_busy` to `queue`."
    )


class Refused(HivemindError):
    """The request was refused.

    `detail` and `text` are what the audit log keeps of the reason, the text as the guards left it; callers
    never see them.
    """

    code = "refused"
    advice = "The message says why."

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
    advice = "Ask somebody whose role allows it; a client sends the conversation token of the last reply."


class TokenExpired(NotPermitted):
    """The conversation token has expired."""

    code = "token_expired"
    advice = "Open a new conversation: leave out `conversation_id` and `conversation_token`."


class RateLimited(Refused):
    """Too many requests: try again later."""

    code = "rate_limited"
    advice = "Wait for `retry_after_seconds`; an operator raises the settings in `limits`."


class Overloaded(Refused):
    """The server has more work than it can take: try again later."""

    code = "overloaded"
    advice = "Try again in a few seconds, more slowly."


class LimitsUnknown(Overloaded):
    """It is not known yet how much was asked before: try again in a moment."""

    code = "limits_unknown"
    advice = "Try again in a moment; if it stays, the database does not answer."


class SwitchUnknown(Overloaded):
    """It is not known whether an operator has switched this off: try again in a moment."""

    code = "switch_unknown"
    advice = "Try again in a moment; if it stays, the database does not answer."


class MailboxFull(Overloaded):
    """The actor has more messages waiting than it may keep: try again later."""

    code = "mailbox_full"
    advice = "Try again later; `hivemind actors` shows what keeps the actor from its mail."


class SwitchedOff(Refused):
    """An operator has switched this off."""

    code = "switched_off"
    advice = "Wait, or have an operator lower the kill switch: `hivemind kill-switch`."


class InputTooLong(Refused):
    """The message is longer than this agent accepts."""

    code = "input_too_long"
    advice = "Shorten the message, or raise the profile's `max_input_chars`."


class GuardRefused(Refused):
    """The message was refused by a guard."""

    code = "guard_refused"
    advice = (
        "Say it in other words; `hivemind guards explain` tells which rules fired and which setting decides."
    )


class GuardFailed(GuardRefused):
    """The text could not be checked, so it was refused: try again later."""

    code = "guard_failed"
    advice = (
        "Try again; if it stays, look into the log, and raise `guards.timeout_seconds` on a slow machine."
    )


class BudgetExceeded(Refused):
    """The spending limit does not cover this request."""

    code = "budget_exceeded"
    advice = "Wait for the cap's next window, or raise the cap: `hivemind budget` shows which one is full."


class ApprovalRequired(Refused):
    """Most of a spending limit is used up, and a person has to agree to more."""

    code = "approval_required"
    advice = "Have an operator acknowledge the cap: `hivemind caps acknowledge`."


class PriceUnknown(Refused):
    """The model has no price, so its cost cannot be limited."""

    code = "price_unknown"
    advice = "Name the model's price in `budgets.prices`; `[0, 0]` says that it is free."


class AgentUnavailable(HivemindError):
    """The agent cannot answer at the moment: try again later."""

    code = "agent_unavailable"
    advice = "Try again; `hivemind actors` shows why it fails, and `--do restart` gives it a clean history."


class Interrupted(HivemindError):
    """The turn was ended before it was answered."""

    code = "interrupted"
    advice = "Send the message again under a new idempotency key if it is still wanted."


class AgentEnded(Interrupted):
    """The agent was stopped and answers no more."""

    code = "agent_ended"
    advice = "Talk to another agent, or resume this one if it was stopped: `hivemind agents resume`."


class DatabaseUnavailable(HivemindError):
    """The database does not answer at the moment."""

    code = "database_unavailable"
    advice = "Try again; `hivemind doctor` says whether Postgres answers."


class Unreachable(HivemindError):
    """Another server cannot be reached or broke off."""

    code = "unreachable"
    advice = "Check the address and whether the other side runs; `hivemind doctor` looks at this one."


class TargetRefused(Unreachable):
    """This address may not be called from here."""

    code = "target_refused"
    advice = "Name the network in `outbound.allowed_networks` if the address is meant to be called."


class IntegrationError(HivemindError):
    """A connected system failed."""

    code = "integration_failed"
    advice = "`hivemind doctor` and `/api/v1/health` say what the other system answered."


class MigrationRefused(HivemindError):
    """The database and this release do not fit together."""

    code = "migration_refused"
    advice = "Run the release that the database belongs to, or a newer one."


class ProviderError(HivemindError):
    """The model provider failed."""

    code = "llm_failed"
    advice = "Try again; if it stays, look at the provider's own status page."


class ProviderUnavailable(ProviderError):
    """No model can be reached at the moment."""

    code = "llm_unavailable"
    advice = "Try again later; `hivemind doctor` says whether the provider answers."


class ProviderRejected(ProviderError):
    """The model provider rejected the request."""

    code = "llm_rejected"
    advice = "Check `llm.api_key`, `llm.model` and `llm.endpoint`: `hivemind doctor`."


class RemoteError(HivemindError):
    """The server answered with an error."""

    code = "remote_error"
    advice = "Look the code up in the reference of the errors."

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


def families(cls: type[HivemindError] = HivemindError) -> Iterator[type[HivemindError]]:
    """Every class of this module, each before those that are special cases of it."""
    yield cls
    for child in cls.__subclasses__():
        if child.__module__ == __name__:
            yield from families(child)
