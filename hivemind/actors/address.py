"""A name to send to: resolved at each send, so that restarts and passivation are invisible.

Below a row supervisor the first message starts the row's actor.
"""

from typing import TYPE_CHECKING, Any

from pykka._envelope import Envelope

from hivemind.actors.delivery import NOT_NOW, answer_now
from hivemind.actors.future import Future
from hivemind.actors.mailbox import CLOSED, Mailbox
from hivemind.actors.ref import CALL_TIMEOUT_SECONDS, ActorRef, call

if TYPE_CHECKING:
    from hivemind.actors.system import ActorSystem


class Address:
    """A path in the tree of one system; equal and hashable by that path. For the loop's thread."""

    __slots__ = ("_cells", "_system", "path")

    def __init__(self, system: "ActorSystem", path: str) -> None:
        self._system = system
        self._cells = system.cells
        self.path = path

    def __str__(self) -> str:
        return self.path

    def __repr__(self) -> str:
        return f"Address({self.path!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Address) and (self.path, self._system) == (other.path, other._system)

    def __hash__(self) -> int:
        return hash(self.path)

    @property
    def ref(self) -> ActorRef:
        """The ref to whatever lives here now."""
        return self._mailbox().cell.ref

    def tell(self, message: Any) -> None:
        """Send and go on."""
        self._mailbox().put(message)

    def ask(self, message: Any) -> Future[Any]:
        """Send and get a future to await."""
        future = Future[Any]()
        self._mailbox().put(Envelope(message, future))
        return future

    async def send(self, message: Any) -> None:
        """Send as soon as the mailbox has room."""
        await self._mailbox().put_when_room(message)

    async def call(self, message: Any, *, timeout_seconds: float | None = CALL_TIMEOUT_SECONDS) -> Any:
        """Send and wait for the answer."""
        mailbox = self._mailbox()
        result = answer_now(mailbox, message)
        if result is NOT_NOW:
            return await call(mailbox, message, timeout_seconds)
        return await result if type(result) is Future else result

    def _mailbox(self) -> Mailbox:
        cell = self._cells.get(self.path)
        if cell is not None and cell.mailbox.state != CLOSED:
            return cell.mailbox
        return self._system.resolve(self.path).mailbox
