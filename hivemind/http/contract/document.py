"""The contract as one OpenAPI 3.1 document, made of the declarations and of the models that handlers parse.

Bodies come from the pydantic models themselves, roles from `http/roles.py`, statuses of errors from
`http/problems.py`: what is said here cannot drift from those.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, Literal
from uuid import UUID

from pydantic import TypeAdapter

from hivemind import __version__, errors
from hivemind.auth import Role
from hivemind.http import openai_reply, problems
from hivemind.http.contract import agents, chat, contracts, installation, pages, people, work
from hivemind.http.contract.operation import JSON, SSE, Answer, Group, Operation, Parameter, Shape
from hivemind.http.roles import ROUTES
from hivemind.http.supervision import Deed

Mode = Literal["validation", "serialization"]
Schema = dict[str, Any]

GROUPS: tuple[Group, ...] = (
    chat.PUBLIC,
    agents.AGENTS,
    chat.TALK,
    agents.APPROVALS,
    work.PROFILES,
    work.DIRECTIVES,
    work.TASKS,
    work.SCHEDULES,
    agents.CONVERSATIONS,
    installation.KNOWLEDGE,
    installation.GUARDS,
    installation.MONEY,
    installation.AUDIT,
    installation.ACTORS,
    installation.HEALTH,
    people.SIGN_IN,
    people.USERS,
    people.KEYS,
    installation.INTEGRATIONS,
    chat.DIALECTS,
    contracts.GROUP,
    pages.GROUP,
)
_TOLD = """\
Bodies are JSON; a field that is not known is an error. Lists come a page at a time: `limit`, `cursor`,
`next_cursor`. Times are ISO 8601 in UTC, money is in millionths of a dollar. Every path below `/api/v1`
answers below `/api/admin` as well. An `x-role` is the least that a key or an account has to be: viewer,
operator, admin.
"""
_SECURITY: list[Schema] = [{"key": []}, {"bearer": []}, {"session": []}]
_OF_PATH: Mapping[str, Shape] = {"passage_id": int, "deed": Deed}
_REF = "#/components/schemas/{model}"
_LONG_NAME = re.compile(r"hivemind__(.+)__(\w+)")
_BODY_ERRORS = (errors.InvalidRequest, errors.InvalidFields, errors.UnsupportedMediaType, errors.BodyTooLarge)


@cache
def document() -> Schema:
    """All of it; the same every time."""
    shapes = _Shapes(list(_shapes(GROUPS)))
    paths: dict[str, Schema] = {}
    for group in GROUPS:
        for operation in group.operations:
            method = "get" if operation.method == "WS" else operation.method.lower()
            paths.setdefault(operation.path, {})[method] = _told(operation, group.name, shapes)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Hivemind", "version": __version__, "description": _TOLD},
        "tags": [{"name": group.name, "description": group.told} for group in GROUPS],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(shapes.definitions.items())),
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "hm_session"},
            },
        },
    }


def operations() -> Iterator[Operation]:
    """Every operation that is described."""
    for group in GROUPS:
        yield from group.operations


def role_of(operation: Operation) -> Role | None:
    """The least role that it asks for."""
    return ROUTES[operation.key]


def refused(operation: Operation) -> dict[int, list[str]]:
    """The codes of all errors that it may be answered with, by status."""
    found: dict[int, set[str]] = {}
    for cls in _refuses(operation):
        if operation.in_dialect:
            status, _, code = openai_reply.kind(cls())
        else:
            status, code = problems.status_of(cls()), cls.code
        found.setdefault(status, set()).add(code)
    return {status: sorted(codes) for status, codes in sorted(found.items())}


def _refuses(operation: Operation) -> Iterator[type[errors.HivemindError]]:
    yield from operation.refuses
    if role_of(operation) is not None:
        yield from (errors.NotAuthenticated, errors.NotPermitted)
    if operation.body is not None:
        yield from _BODY_ERRORS
    if operation.query:
        yield errors.InvalidRequest
    if "{" in operation.path:
        yield errors.NotFound
    yield errors.DatabaseUnavailable


def _told(operation: Operation, group: str, shapes: "_Shapes") -> Schema:
    role = role_of(operation)
    told: Schema = {
        "operationId": name_of(operation),
        "summary": operation.summary,
        "tags": [group],
        "x-role": role,
        "security": _SECURITY if role is not None else [],
        "responses": {str(status): _answer(answer, shapes) for status, answer in operation.answers.items()},
    }
    if operation.told:
        told["description"] = operation.told
    parameters = [_in_path(name, shapes) for name in re.findall(r"{(\w+)}", operation.path)]
    parameters += [_parameter(parameter, shapes) for parameter in operation.query]
    if parameters:
        told["parameters"] = parameters
    if operation.body is not None:
        content: Schema = {"schema": shapes.of(operation.body)}
        if operation.example is not None:
            content["example"] = operation.example
        told["requestBody"] = {"required": not operation.body_may_be_missing, "content": {JSON: content}}
    if operation.frames:
        told["x-frames"] = {side: shapes.of(shape) for side, shape in operation.frames.items()}
    for status, codes in refused(operation).items():
        response = told["responses"].setdefault(str(status), {"description": ""})
        words = f"Refused: {', '.join(codes)}."
        response["description"] = f"{response['description']} {words}".strip()
        response["x-codes"] = codes
        model = "DialectError" if operation.in_dialect else "Error"
        _add(response.setdefault("content", {}), {"$ref": _REF.format(model=model)})
    return told


def name_of(operation: Operation) -> str:
    """A name for programs: `get_agents_by_agent_id`."""
    path = operation.path.removeprefix("/api/v1").replace("{", "by_").replace("}", "")
    words = re.sub(r"[^a-z0-9]+", "_", path.lower()).strip("_")
    method = "page" if operation in pages.GROUP.operations else operation.method.lower()
    return f"{method}_{words or 'home'}"


def _add(content: Schema, schema: Schema) -> None:
    """One more that a JSON body may look like."""
    if JSON not in content:
        content[JSON] = {"schema": schema}
    else:
        content[JSON]["schema"] = {"anyOf": [content[JSON]["schema"], schema]}


def _answer(answer: Answer, shapes: "_Shapes") -> Schema:
    told: Schema = {"description": answer.told}
    if answer.content:
        told["content"] = {media: {"schema": shapes.of(shape)} for media, shape in answer.content.items()}
    if answer.events:
        # OpenAPI 3.1 has no word for a stream: what stands here is one of its events.
        events = [_event(name, shapes.of(shape)) for name, shape in answer.events.items()]
        told.setdefault("content", {})[SSE] = {"schema": {"oneOf": events}}
    return told


def _event(name: str, data: Schema) -> Schema:
    text = {"type": "string", "contentMediaType": JSON, "contentSchema": data}
    return _object({"event": {"const": name}, "data": text}, id={"type": "string"})


def _in_path(name: str, shapes: "_Shapes") -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": shapes.of(_path_shape(name))}


def _path_shape(name: str) -> Shape:
    return _OF_PATH.get(name, UUID if name.endswith("_id") else str)


def _parameter(parameter: Parameter, shapes: "_Shapes") -> Schema:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.required,
        "description": parameter.told,
        "schema": shapes.of(parameter.type),
    }


def _shapes(groups: Iterable[Group]) -> Iterator[tuple[Shape, Mode]]:
    for operation in (operation for group in groups for operation in group.operations):
        if operation.body is not None:
            yield operation.body, "validation"
        for name in re.findall(r"{(\w+)}", operation.path):
            yield _path_shape(name), "validation"
        for parameter in operation.query:
            yield parameter.type, "validation"
        for side, shape in operation.frames.items():
            yield shape, "validation" if side == "client" else "serialization"
        for answer in operation.answers.values():
            for shape in (*answer.content.values(), *answer.events.values()):
                yield shape, "serialization"


class _Shapes:
    """The JSON schema of each shape, and the definitions that they share.

    What the server says is closed: a field that is not described is a defect.
    """

    def __init__(self, shapes: Iterable[tuple[Shape, Mode]]) -> None:
        leaves = {repr(leaf): (leaf, mode) for shape, mode in shapes for leaf in _leaves(shape)}
        inputs = [(name, mode, TypeAdapter(leaf)) for name, (leaf, mode) in leaves.items()]
        made, told = TypeAdapter.json_schemas(inputs, ref_template=_REF)
        definitions = told.get("$defs", {})
        self._names = {name: _short(name) for name in definitions}
        closed: set[str] = set()
        for (_, mode), schema in made.items():
            if mode == "serialization":
                _close(schema, definitions, closed)
        self._made = {name: self._renamed(schema) for (name, _), schema in made.items()}
        self.definitions: Schema = {
            self._names[name]: self._renamed(schema) for name, schema in definitions.items()
        }
        self.definitions |= {"Error": _ERROR, "DialectError": _DIALECT_ERROR}

    def of(self, shape: Shape) -> Schema:
        """The schema of a shape."""
        if not isinstance(shape, Mapping):
            found: Schema = self._made[repr(shape)]
            return found
        return {
            "type": "object",
            "properties": {name.removesuffix("?"): self.of(inner) for name, inner in shape.items()},
            "required": [name for name in shape if not name.endswith("?")],
            "additionalProperties": False,
        }

    def _renamed(self, schema: Any) -> Any:
        if isinstance(schema, list):
            return [self._renamed(inner) for inner in schema]
        if not isinstance(schema, dict):
            return schema
        return {
            key: _REF.format(model=self._names[value.rpartition("/")[2]])
            if key == "$ref"
            else self._renamed(value)
            for key, value in schema.items()
            if key != "title" or isinstance(value, dict)
        }


def _leaves(shape: Shape) -> Iterator[Shape]:
    if isinstance(shape, Mapping):
        for inner in shape.values():
            yield from _leaves(inner)
    else:
        yield shape


def _short(name: str) -> str:
    """A name for people; pydantic's is long where classes are called alike."""
    name = name.replace("-", "")
    found = _LONG_NAME.fullmatch(name)
    if found is None:
        return name
    module, own = found[1].rpartition("__")[2], found[2]
    return f"{module.title().replace('_', '')}{own}"


def _close(schema: Any, definitions: Schema, closed: set[str]) -> None:
    if isinstance(schema, list):
        for inner in schema:
            _close(inner, definitions, closed)
    elif isinstance(schema, dict):
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
        for key, inner in schema.items():
            if key != "$ref":
                _close(inner, definitions, closed)
            elif (name := inner.rpartition("/")[2]) not in closed:
                closed.add(name)
                _close(definitions[name], definitions, closed)


def _object(required: Mapping[str, Schema], **others: Schema) -> Schema:
    return {
        "type": "object",
        "properties": {**required, **others},
        "required": list(required),
        "additionalProperties": False,
    }


_TEXT: Schema = {"type": "string"}
_MAYBE_TEXT: Schema = {"type": ["string", "null"]}
_ERROR = _object({
    "error": _object(
        {"code": _TEXT, "message": _TEXT},
        remedy=_TEXT,
        retry_after_seconds={"type": "integer"},
        fields={"type": "array", "items": _object({"field": _TEXT, "problem": _TEXT})},
    )
})  # fmt: skip
_DIALECT_ERROR = _object({
    "error": _object({"message": _TEXT, "type": _TEXT, "param": _MAYBE_TEXT, "code": _MAYBE_TEXT})
})  # fmt: skip
