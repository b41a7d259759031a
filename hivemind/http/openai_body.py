"""The body of a chat completion, and what it asks for in the agents' words.

A field that is not known is ignored, as clients of this dialect expect; one that would change the answer and
cannot be honoured is refused. Nothing here is a limit of a profile.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from hivemind.agents import Given
from hivemind.errors import InvalidFields
from hivemind.providers import ProviderMessage, ToolCall, ToolSpec

ToolName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
CallId = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.:|-]{1,128}$")]
Tokens = Annotated[int, Field(gt=0, le=10_000_000)]
Stop = Annotated[str, Field(min_length=1, max_length=200)]

MAX_MESSAGES = 2_000
MAX_TOOLS = 128
_NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore")


class Part(_Lenient):
    """A piece of a message's content."""

    type: str
    text: str = ""


class CalledFunction(_Lenient):
    """What a model called, with its arguments as JSON text."""

    name: ToolName
    arguments: str = "{}"


class Call(_Lenient):
    """A call that an earlier answer ended with."""

    id: CallId
    type: Literal["function"] = "function"
    function: CalledFunction


class Message(_Lenient):
    """One message of the conversation as the client keeps it."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None = None
    tool_calls: list[Call] | None = None
    tool_call_id: CallId | None = None

    def text(self, place: str) -> str:
        """Its text, of however many parts."""
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        for part in self.content:
            if part.type not in ("text", "input_text", "refusal"):
                raise _wrong(f"{place}.content", f"only text is taken here, not {part.type[:40]}")
        return "\n".join(part.text for part in self.content)


class Function(_Lenient):
    """A function of the client's."""

    name: ToolName
    description: str | None = None
    parameters: dict[str, Any] | None = None


class Tool(_Lenient):
    """A tool of the client's; functions are the only kind."""

    type: Literal["function"]
    function: Function


class NamedFunction(_Lenient):
    """The name of a function."""

    name: ToolName


class NamedChoice(_Lenient):
    """The function that is to be called."""

    type: Literal["function"] = "function"
    function: NamedFunction


class StreamOptions(_Lenient):
    """How a stream ends."""

    include_usage: bool | None = None


class Format(_Lenient):
    """The form of the answer."""

    type: str


class CompletionBody(_Lenient):
    """A request for one answer."""

    model: Annotated[str, Field(min_length=1, max_length=200)]
    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: Annotated[list[Tool], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: Literal["auto", "none", "required"] | NamedChoice | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=4)] | None = None
    n: int | None = None
    response_format: Format | None = None

    @property
    def usage_wanted(self) -> bool:
        """Whether a stream ends with what it used."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def asks(self) -> tuple[str, Given]:
        """The message that is answered, which is the last of a user's, and what comes along with it.

        Raises:
            InvalidFields: something is wanted that cannot be.
        """
        if self.n not in (None, 1):
            raise _wrong("n", "there is one answer to a request")
        if self.response_format is not None and self.response_format.type != "text":
            raise _wrong("response_format", "only text is given; a tool can ask for a form")
        instructions: list[str] = []
        said: list[ProviderMessage] = []
        for number, message in enumerate(self.messages):
            place = f"messages.{number}"
            if message.role in ("system", "developer"):
                instructions.append(message.text(place))
            else:
                said.append(_message(message, place))
        asked = max((n for n, message in enumerate(said) if message.role == "user"), default=None)
        if asked is None:
            raise _wrong("messages", "there is none of a user")
        _check_results(said)
        names = [tool.function.name for tool in self.tools or ()]
        if len(set(names)) < len(names):
            raise _wrong("tools", "a name is there twice")
        choice = (
            self.tool_choice.function.name if isinstance(self.tool_choice, NamedChoice) else self.tool_choice
        )
        if isinstance(self.tool_choice, NamedChoice) and choice not in names:
            raise _wrong("tool_choice", "there is no such tool")
        if choice == "required" and not names:
            raise _wrong("tool_choice", "there is no tool")
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        return said[asked].text, Given(
            "\n\n".join(text for text in instructions if text),
            tuple(said[:asked]),
            tuple(said[asked + 1 :]),
            tuple(_tool(tool) for tool in self.tools or ()),
            None if choice == "auto" or not names else choice,
            self.max_completion_tokens or self.max_tokens,
            self.temperature,
            stop,
        )


def _message(message: Message, place: str) -> ProviderMessage:
    text = message.text(place)
    if message.role == "tool":
        if message.tool_call_id is None:
            raise _wrong(f"{place}.tool_call_id", "says which call this is the result of")
        return ProviderMessage("tool", text, tool_call_id=message.tool_call_id)
    if message.role == "user":
        if not text:
            raise _wrong(f"{place}.content", "is empty")
        return ProviderMessage("user", text)
    calls = [ToolCall(c.id, c.function.name, c.function.arguments) for c in message.tool_calls or ()]
    return ProviderMessage("assistant", text, tool_calls=tuple(calls))


def _check_results(said: list[ProviderMessage]) -> None:
    """Each call has its result right behind it, and each result its call: providers refuse anything else."""
    waiting: set[str | None] = set()
    for message in said:
        if message.role == "tool":
            if message.tool_call_id not in waiting:
                raise _wrong("messages", f"there is no call {message.tool_call_id} before its result")
            waiting.discard(message.tool_call_id)
        elif waiting:
            break
        else:
            waiting = {call.id for call in message.tool_calls}
    if waiting:
        raise _wrong("messages", f"the call {min(map(str, waiting))} has no result")


def _tool(tool: Tool) -> ToolSpec:
    function = tool.function
    return ToolSpec(function.name, function.description or "", function.parameters or _NO_PARAMETERS)


def _wrong(field: str, problem: str) -> InvalidFields:
    return InvalidFields(f"{field}: {problem}", fields=((field, problem),))
