"""The contract itself, for programs and for people."""

from typing import Any

from hivemind.http.contract.operation import Group, Operation, says

GROUP = Group(
    "The contract",
    "This description.",
    (
        Operation(
            "GET /api/v1/openapi.json", "The contract, for programs", says(dict[str, Any], "OpenAPI 3.1.")
        ),
    ),
)
