"""What the client raises: one exception for whatever went wrong, in the server's own words if it had any."""

from collections.abc import Mapping

import httpx2


class ApiError(Exception):
    """A request failed. `code` is one of the reference, or `unreachable`; `status` is 0 if there was none."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int = 0,
        remedy: str | None = None,
        retry_after_seconds: int | None = None,
        fields: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(f"{message} ({code})" + (f": {remedy}" if remedy else ""))
        self.code = code
        self.message = message
        self.status = status
        self.remedy = remedy
        self.retry_after_seconds = retry_after_seconds
        self.fields = fields


def unreachable(error: httpx2.HTTPError) -> ApiError:
    """The server did not answer, or broke off."""
    words = str(error) or type(error).__name__
    return ApiError("unreachable", f"The server cannot be reached: {words}", remedy="see whether it runs")


def of_response(response: httpx2.Response) -> ApiError:
    """A response, already read, that is no success."""
    try:
        document = response.json()
    except ValueError:
        document = None
    told = document.get("error") if isinstance(document, Mapping) else None
    if not isinstance(told, Mapping):
        # A proxy in between speaks in its own words.
        return ApiError("request_failed", f"Status {response.status_code}", status=response.status_code)
    return of_envelope(told, response.status_code)


def of_envelope(told: Mapping[str, object], status: int = 0) -> ApiError:
    """The `error` object of an answer or an event."""
    remedy, wait, fields = told.get("remedy"), told.get("retry_after_seconds"), told.get("fields")
    return ApiError(
        str(told.get("code")),
        str(told.get("message")),
        status=status,
        remedy=str(remedy) if remedy is not None else None,
        retry_after_seconds=wait if isinstance(wait, int) else None,
        fields=tuple((str(each["field"]), str(each["problem"])) for each in fields)
        if isinstance(fields, list)
        else (),
    )
