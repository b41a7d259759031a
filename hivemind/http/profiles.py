"""`/api/v1/agent-profiles`: the personas, as their owner makes and edits them.

A change says what it was decided by, in `If-Match` or `updated_at`: then it cannot undo somebody else's.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints
from quart import Blueprint, Response, request

from hivemind.agents import Profile, Profiles
from hivemind.agents import profiles as store
from hivemind.agents.tools.toolbox import Toolbox
from hivemind.errors import InvalidFields, InvalidRequest
from hivemind.http import paging
from hivemind.http.bodies import answer, sent
from hivemind.persistence import Database

PATH = "/api/v1/agent-profiles"
NULLABLE = frozenset(
    {"model", "cheaper_model", "max_messages_per_minute", "max_turn_tokens", "max_turn_micros"}
)

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$")]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Prompt = Annotated[str, StringConstraints(max_length=100_000)]
Model = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Count = Annotated[int, Field(gt=0, le=2**31 - 1, strict=True)]
Few = Annotated[int, Field(gt=0, le=2**15 - 1, strict=True)]
# As a content security policy names who may frame a page: scheme, host, and a port that is not the usual one.
Origin = Annotated[
    str, StringConstraints(pattern=r"^https?://(\*\.)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?$")
]
Micros = Annotated[int, Field(gt=0, le=2**53, strict=True)]


class ChangeBody(BaseModel):
    """What is to be another; what is not named stays."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    prompt: Prompt | None = None
    tier: Annotated[int, Field(ge=1, le=3, strict=True)] | None = None
    model: Model | None = None
    cheaper_model: Model | None = None
    max_input_chars: Count | None = None
    max_output_tokens: Count | None = None
    history_messages: Annotated[int, Field(ge=0, le=2**31 - 1, strict=True)] | None = None
    injection_threshold: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] | None = None
    on_injection: Literal["refuse", "flag"] | None = None
    when_busy: Literal["queue", "refuse", "interrupt"] | None = None
    when_client_leaves: Literal["finish", "stop"] | None = None
    max_messages_per_minute: Count | None = None
    max_steps: Few | None = None
    max_turn_seconds: Count | None = None
    max_turn_tokens: Count | None = None
    max_turn_micros: Micros | None = None
    max_same_calls: Few | None = None
    approval_seconds: Count | None = None
    on_approval_deadline: Literal["approve", "deny"] | None = None
    tools: dict[Annotated[str, Field(min_length=1, max_length=200)], dict[str, Any]] | None = None
    documents_only: Annotated[bool, Field(strict=True)] | None = None
    on_client_instructions: Literal["append", "refuse"] | None = None
    widget_origins: Annotated[list[Origin], Field(max_length=50)] | None = None
    updated_at: AwareDatetime | None = None


class ProfileBody(ChangeBody):
    """A profile that is to be made; what is not named is as usual."""

    slug: Slug
    name: Name
    prompt: Prompt


def routes(database: Database, profiles: Profiles, toolbox: Toolbox) -> Blueprint:
    """The routes as Quart takes them."""
    blueprint = Blueprint("profiles", __name__)

    @blueprint.get(PATH)
    async def list_profiles() -> Response:
        page = paging.asked(request.args, str)
        after = page.after[0] if page.after else None
        assert after is None or isinstance(after, str)
        found = await store.page(database, after, page.fetch, archived=_flag("archived"))
        return answer(page.reply(found, lambda profile: (profile.slug,), Profile.as_dict))

    @blueprint.post(PATH)
    async def create_profile() -> Response:
        body = await sent(ProfileBody)
        values = _values(body, toolbox)
        made = await store.create(database, body.slug, values)
        profiles.forget()
        return _told(made, 201)

    @blueprint.get(f"{PATH}/<slug>")
    async def read_profile(slug: str) -> Response:
        return _told(await store.profile(database, slug))

    @blueprint.patch(f"{PATH}/<slug>")
    async def change_profile(slug: str) -> Response:
        body = await sent(ChangeBody)
        read_at = body.updated_at or _matching()
        changed = await store.change(database, slug, _values(body, toolbox), read_at=read_at)
        profiles.forget()
        return _told(changed)

    @blueprint.post(f"{PATH}/<slug>/archive")
    async def archive_profile(slug: str) -> Response:
        kept = await store.archive(database, slug, archived=True)
        profiles.forget()
        return _told(kept)

    @blueprint.post(f"{PATH}/<slug>/restore")
    async def restore_profile(slug: str) -> Response:
        kept = await store.archive(database, slug, archived=False)
        profiles.forget()
        return _told(kept)

    @blueprint.delete(f"{PATH}/<slug>")
    async def delete_profile(slug: str) -> Response:
        await store.delete(database, slug, read_at=_matching())
        profiles.forget()
        return Response(b"", 204)

    return blueprint


def _values(body: ChangeBody, toolbox: Toolbox) -> dict[str, Any]:
    """What a body says of the row.

    Raises:
        InvalidFields: it cannot be so.
    """
    values = {name: getattr(body, name) for name in body.model_fields_set - {"slug", "updated_at"}}
    wrong = [
        (name, "has to have a value")
        for name, value in values.items()
        if value is None and name not in NULLABLE
    ]
    wrong += [("tools", mistake) for mistake in toolbox.mistakes(values.get("tools") or {})]
    if wrong:
        named = ", ".join(dict.fromkeys(name for name, _ in wrong))
        raise InvalidFields(f"Missing or wrong: {named}", fields=tuple(wrong))
    return values


def _flag(name: str) -> bool:
    text = request.args.get(name, "false")
    if text not in ("true", "false"):
        raise InvalidRequest(f"{name} is true or false")
    return text == "true"


def _matching() -> datetime | None:
    """The time in `If-Match`, which is the profile's tag."""
    text = request.headers.get("If-Match", "*").strip()
    if text == "*":
        return None
    try:
        read_at = datetime.fromisoformat(text.removeprefix("W/").strip('"'))
    except ValueError:
        raise InvalidRequest("The header If-Match is not a tag that a profile had") from None
    if read_at.tzinfo is None:
        raise InvalidRequest("The header If-Match is not a tag that a profile had")
    return read_at


def _told(profile: Profile, status: int = 200) -> Response:
    reply = answer({"profile": profile.as_dict()}, status)
    if profile.updated_at is not None:
        reply.headers["ETag"] = f'"{profile.updated_at.isoformat()}"'
    return reply
