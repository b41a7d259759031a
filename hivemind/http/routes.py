"""Every route of the server in one place: the busy ones on the lane, the rest behind it on Quart."""

from pydantic import SecretStr
from quart_trio import QuartTrio

from hivemind.actors import ActorSystem
from hivemind.agents import Profiles
from hivemind.agents.switch import Switch
from hivemind.agents.tools.toolbox import Toolbox
from hivemind.auth import Identities
from hivemind.auth.forward import Forward
from hivemind.auth.issuer import Issuer
from hivemind.guards import Guards
from hivemind.health import Health
from hivemind.http import (
    agents,
    api_keys,
    approvals,
    audit,
    bodies,
    caps,
    conversations,
    costs,
    directives,
    guards,
    killswitch,
    knowledge,
    mcp,
    metrics,
    operators,
    plane,
    problems,
    schedules,
    settings,
    supervision,
    tasks,
    ui,
    users,
)
from hivemind.http import profiles as profiles_http
from hivemind.http.access import Access
from hivemind.http.agent_streams import AgentStreams
from hivemind.http.callers import Callers
from hivemind.http.chat import Chat
from hivemind.http.contract import routes as contract
from hivemind.http.keyholders import Keyholders
from hivemind.http.lane import Lane, Route
from hivemind.http.limits import Limiter
from hivemind.http.metrics import MetricsAccess, Scrape
from hivemind.http.openai import COMPLETIONS, MODELS, OpenAI
from hivemind.http.openid import OpenId
from hivemind.http.refusals import Refusals
from hivemind.http.sign_in import SignIn
from hivemind.http.supervision import Tuning
from hivemind.metrics import Counts
from hivemind.persistence import Database
from hivemind.providers import Calls
from hivemind.settings import AuthSettings
from hivemind.settings_load import Loaded


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
    identities: Identities,
    forward: Forward | None,
    issuer: Issuer | None,
    pending_secret: bytes,
    callers: Callers,
    auth: AuthSettings,
    loaded: Loaded,
    calls: Calls,
    switch: Switch,
    counts: Counts,
    guard_seconds: float,
    metrics_access: MetricsAccess = "viewer",
    webhook_secret: SecretStr | None = None,
    *,
    body_limits: bodies.BodyLimits,
) -> Lane:
    """The whole application, as the server takes it."""
    app = QuartTrio("hivemind", static_folder=None)
    access = Access(identities, chat.refused, forward)
    keyholders = Keyholders(limiter, refusals)
    problems.install(app)
    app.register_blueprint(operators.routes(system, health, database))
    app.register_blueprint(supervision.routes(system, tuning, database))
    app.register_blueprint(settings.routes(loaded))
    app.register_blueprint(audit.routes(database))
    app.register_blueprint(conversations.routes(system, database))
    app.register_blueprint(caps.routes(database))
    app.register_blueprint(costs.routes(database))
    app.register_blueprint(guards.routes(checks, guard_seconds, refusals))
    app.register_blueprint(killswitch.routes(database, system))
    app.register_blueprint(knowledge.routes(database))
    app.register_blueprint(mcp.routes(system, profiles, database, keyholders))
    app.register_blueprint(profiles_http.routes(database, profiles, toolbox))
    app.register_blueprint(directives.routes(database, system, profiles))
    app.register_blueprint(tasks.routes(database, system, profiles))
    app.register_blueprint(schedules.routes(database, system, profiles))
    app.register_blueprint(agents.routes(system, database, profiles))
    app.register_blueprint(approvals.routes(system, database))
    app.register_blueprint(plane.routes(database, system, webhook_secret, refusals))
    sign_in = SignIn(database, identities, access, callers, auth, issuer)
    app.register_blueprint(sign_in.routes())
    app.register_blueprint(OpenId(database, identities, sign_in, issuer, auth, pending_secret).routes())
    app.register_blueprint(users.routes(database, identities))
    app.register_blueprint(api_keys.routes(database, identities))
    app.register_blueprint(
        Scrape(system, database, health, calls, switch, counts, access, metrics_access).routes()
    )
    app.register_blueprint(contract.routes())
    app.register_blueprint(ui.routes(database, profiles, access, issuer.name if issuer else None))
    access.install(app)
    metrics.count_requests(app, counts)
    streams = AgentStreams(system, database, profiles)
    dialect = OpenAI(system, profiles, keyholders, access)
    busy = (
        *map(access.guarded, (*chat.routes(), *streams.routes(), supervision.events_route(system))),
        # These tell their refusals in their own dialect.
        Route("POST", COMPLETIONS, dialect.complete),
        Route("GET", MODELS, dialect.models),
        Route("GET", f"{MODELS}/{{model}}", dialect.model),
    )
    # Quart has a limit of its own; ours is before it.
    app.config["MAX_CONTENT_LENGTH"] = None
    return Lane(busy, app, body_limits=body_limits, counts=counts)
