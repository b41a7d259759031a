"""How one try at a call failed, in terms that a decision can be made on.

Wire modules raise `CallFailed`; `decide` turns it into another try or into the error that callers see. Words
of the provider stay in the log: they may name an account or quote a part of the key.
"""

from typing import Literal

from hivemind.errors import ProviderError

FailureKind = Literal["connect", "status", "cut", "malformed", "late"]


class CallFailed(ProviderError):
    """The model provider failed.

    `status` is set for kind `status`, also when a server reports the like inside a stream.
    """

    def __init__(
        self,
        kind: FailureKind,
        detail: str,
        *,
        status: int | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(retry_after_seconds=retry_after_seconds)
        self.kind: FailureKind = kind
        self.detail = detail
        self.status = status

    def __str__(self) -> str:
        status = f" {self.status}" if self.status is not None else ""
        return f"{self.kind}{status}: {self.detail}"
