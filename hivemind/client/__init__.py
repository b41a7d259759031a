"""A thin typed client of a Hivemind server, for plain Python, asyncio and trio.

    with Hivemind("http://127.0.0.1:8585") as hive:
        print(hive.say("hello", "Good morning").text)

`Hivemind` and `AsyncHivemind` are alike but for `await`. It knows nothing of the server's own code.
"""

from hivemind.client.answers import (
    Accepted,
    Agent,
    Approval,
    Cost,
    Delta,
    Directive,
    Failure,
    Page,
    Reply,
    Reset,
    Usage,
    Waiting,
)
from hivemind.client.asynchronous import AsyncHivemind
from hivemind.client.problem import ApiError
from hivemind.client.synchronous import Hivemind

__all__ = [
    "Accepted",
    "Agent",
    "ApiError",
    "Approval",
    "AsyncHivemind",
    "Cost",
    "Delta",
    "Directive",
    "Failure",
    "Hivemind",
    "Page",
    "Reply",
    "Reset",
    "Usage",
    "Waiting",
]
