"""Every route of the server in one place: the busy ones on the lane, the rest behind it on Quart."""

from pydantic import SecretStr
from quart_trio import QuartTrio

from hivemind.actors import ActorSystem
from hivemind.agents import Profiles
from hivemind.agents.tools.toolbox import Toolbox
from hivemind.guards import Guards
from hivemind.health import Health
from hivemind.http import (
    agents,
    approvals,
    audit,
    caps,
    conversations,
    costs,
    directives,
    guards,
    killswitch,
    knowledge,
    mcp,
    operators,
    plane,
    problems,
    schedules,
    supervision,
    tasks,
)
from hivemind.http import profiles as profiles_http
from hivemind.http.access import Access
from hivemind.http.agent_streams import AgentStreams
from hivemind.http.chat import Chat
from hivemind.http.keyholders import Keyholders
from hivemind.http.lane import Lane, Route
from hivemind.http.limits import Limiter
from hivemind.http.openai import COMPLETIONS, MODELS, OpenAI
from hivemind.http.refusals import Refusals
from hivemind.http.supervision import Tuning
from hivemind.persistence import Database


def lane(
    chat: Chat,
    system: ActorSystem,
    health: Health,
    database: Database,
    checks: Guards,
    profiles: Profiles,
    toolbox: Toolbox,
    limiter: Limiter,
    tuning: Tuning,
    refusals: Refusals,
    webhook_secret: SecretStr | None = None,
    *,
    admin_api_key: str,
    max_body_bytes: int,
) -> Lane:
    """The whole application, as the server takes it."""
    app = QuartTrio("hivemind")
    access = Access(admin_api_key, chat.refused)
    keyholders = Keyholders(limiter, refusals)
    problems.install(app)
    app.register_blueprint(operators.routes(system, health, access))
    app.register_blueprint(supervision.routes(system, tuning, database, access))
    app.register_blueprint(audit.routes(database, access))
    app.register_blueprint(conversations.routes(system, database, access))
    app.register_blueprint(caps.routes(database, access))
    app.register_blueprint(costs.routes(database, access))
    app.register_blueprint(guards.routes(checks, access))
    app.register_blueprint(killswitch.routes(database, system, access))
    app.register_blueprint(knowledge.routes(database, access))
    app.register_blueprint(mcp.routes(system, profiles, database, keyholders, access))
    app.register_blueprint(profiles_http.routes(database, profiles, toolbox, access))
    app.register_blueprint(directives.routes(database, system, profiles, access))
    app.register_blueprint(tasks.routes(database, system, profiles, access))
    app.register_blueprint(schedules.routes(database, system, profiles, access))
    app.register_blueprint(agents.routes(system, database, profiles, access))
    app.register_blueprint(approvals.routes(system, database, access))
    app.register_blueprint(plane.routes(database, system, webhook_secret, refusals))
    streams = AgentStreams(system, database, profiles, access)
    dialect = OpenAI(system, profiles, keyholders, access)
    busy = (
        *chat.routes(),
        *streams.routes(),
        supervision.events_route(system, access),
        Route("POST", COMPLETIONS, dialect.complete),
        Route("GET", MODELS, dialect.models),
        Route("GET", f"{MODELS}/{{model}}", dialect.model),
    )
    return Lane(busy, app, max_body_bytes=max_body_bytes)
