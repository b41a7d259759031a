"""Why the guards decide as they do, for operators: a text explained, and the rules that there are."""

from dataclasses import asdict

from pydantic import BaseModel, ConfigDict, Field
from quart import Blueprint, Response, request

from hivemind.agents import gate
from hivemind.errors import GuardFailed
from hivemind.guards import DEFAULT_THRESHOLD, Guards, explain
from hivemind.guards.identifiers import RULES as IDENTIFIERS
from hivemind.http import bodies, paging
from hivemind.http.access import identity
from hivemind.http.bodies import answer
from hivemind.http.refusals import Refusals


class Question(BaseModel):
    """A text to be explained, and the threshold of the profile that it is meant for."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str
    threshold: float = Field(default=DEFAULT_THRESHOLD, gt=0, le=1)


def routes(guards: Guards, timeout_seconds: float, refusals: Refusals) -> Blueprint:
    """The routes as Quart takes them."""
    blueprint = Blueprint("guards", __name__)

    @blueprint.post("/api/v1/guards/explain")
    async def explain_text() -> Response:
        data = await request.get_data(as_text=False)
        assert isinstance(data, bytes)
        question = bodies.parse(Question, data, request.headers.get("Content-Type"))
        size = max(len(question.text), gate.LONG_TEXT_CHARS + 1)  # in a thread
        try:
            why = await gate.passed(timeout_seconds, size, explain, guards, question.text, question.threshold)
        except GuardFailed as failure:
            refusals.note(failure, identity().caller, None)
            raise
        return answer(asdict(why))

    @blueprint.get("/api/v1/guards/rules")
    async def list_rules() -> Response:
        page = paging.asked(request.args, str)
        after = page.after[0] if page.after else ""
        rules = sorted(
            (rule for rule in (*guards.rules, *IDENTIFIERS.values()) if rule.id > str(after)),
            key=lambda rule: rule.id,
        )
        return answer(page.reply(rules[: page.fetch], lambda rule: (rule.id,), asdict))

    return blueprint
