"""The composition root: builds everything from the settings and lists the root's children in order."""

import gc
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from ipaddress import ip_network
from uuid import UUID

import trio
from uuid_utils.compat import uuid7

from hivemind import keyfiles, killswitch
from hivemind.actors import ActorSystem, ChildSpec, Exit, Policies, RowSupervisor, Supervisor
from hivemind.agents import Agent, Profiles, Resources, give_up
from hivemind.agents.dispatcher import Dispatcher
from hivemind.agents.switch import Stage, Switch
from hivemind.agents.tools import delegate, fetch, knowledge, task
from hivemind.agents.tools.catalogue import Catalogue
from hivemind.agents.tools.toolbox import Toolbox
from hivemind.audit import HEADS_FILE, HeadKey, Sealer
from hivemind.auth import Identities
from hivemind.auth.forward import Forward
from hivemind.auth.issuer import Issuer
from hivemind.budgets import Prices
from hivemind.children import ChildProcess
from hivemind.errors import ConfigError, HivemindError
from hivemind.guards import Classifier, Guards
from hivemind.health import Health
from hivemind.http import routes
from hivemind.http.bodies import BodyLimits
from hivemind.http.callers import Callers, networks
from hivemind.http.chat import Chat
from hivemind.http.edge import Drain, Edge
from hivemind.http.limits import Limiter
from hivemind.http.recount import recount
from hivemind.http.refusals import Refusals, RefusalWriter
from hivemind.http.supervision import Tuning
from hivemind.http.tokens import Tokens
from hivemind.killswitch import KillSwitch
from hivemind.metrics import Counts
from hivemind.outbound import HttpClient
from hivemind.persistence import Database, EmbeddedPostgres, migrate
from hivemind.plane.puller import Puller
from hivemind.providers import Calls, LocalModel, choose, connect, local_installed, ping_at_start
from hivemind.schedules import tool as create_schedule
from hivemind.schedules.ticker import Ticker
from hivemind.schedules.ticking import sweep
from hivemind.serverid import server_id
from hivemind.settings import AuthSettings, Settings, TraceSettings
from hivemind.settings_load import Loaded, load
from hivemind.targets import Targets
from hivemind.traces import OFF, Traces
from hivemind.watchdog import Watchdog

Report = Callable[[str], None]
KINDS = (
    "agents",
    "children",
    "directives",
    "edge",
    "killswitch",
    "mcp",
    "plane",
    "refusals",
    "rows",
    "sealer",
    "schedules",
    "supervisor",
    "watchdog",
)

# What the code asks for; the owner's settings go over it.
AGENT_POLICY = {
    "restart": "transient",
    "max_restarts": 5,
    "within_seconds": 60.0,
    "backoff_initial_seconds": 0.2,
    "shutdown_seconds": 10.0,
    "passivate_after_seconds": 900.0,
}
CHILD_POLICY = {"backoff_initial_seconds": 0.5, "backoff_jitter": 0.0, "shutdown_seconds": 30.0}
WORKER_POLICY = {"backoff_initial_seconds": 1.0}
# A server of somebody else's is tried for as long as ours runs: it takes nothing with it.
MCP_POLICY = {"backoff_initial_seconds": 1.0, "backoff_max_seconds": 60.0, "shutdown_seconds": 10.0}
MCP_SUPERVISOR_POLICY = {"max_restarts": 1_000_000, "within_seconds": 1.0}
# A child process that will not come back must not take the server with it: health says what is missing.
ROOT_POLICY = {"max_restarts": 20, "within_seconds": 60.0}


async def serve(loaded: Loaded, report: Report) -> None:
    """Run the server until SIGTERM or Ctrl-C, then drain."""
    stop = Stop()
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stop.listen, signals)
            with stop.starting:
                await _serve(loaded, report, stop)
            nursery.cancel_scope.cancel()
    report("Stopped")


class Stop:
    """What a signal means: the first ends the start-up or asks for the drain, the next ends the drain.

    One more ends the process as it is. An embedded Postgres stays then, and the next start adopts it.
    """

    def __init__(self) -> None:
        self.starting = trio.CancelScope()
        self.draining = trio.CancelScope()
        self.started = False
        self.asked = trio.Event()

    async def listen(self, signals: AsyncIterator[int]) -> None:
        """Take signals for as long as the server lives."""
        async for number in signals:
            if self.starting.cancel_called or self.draining.cancel_called:
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(signal.Signals(number))
            elif not self.started:
                self.starting.cancel()
            elif not self.asked.is_set():
                self.asked.set()
            else:
                self.draining.cancel()


async def _serve(loaded: Loaded, report: Report, stop: Stop) -> None:
    async with running(loaded.settings, report, loaded.sources) as server:
        stop.started = True
        # What lives from here to the end is not to be looked at again, and agents are many: with the
        # collector's own thresholds half of a row's start would be collections.
        gc.freeze()
        gc.set_threshold(50_000, 50, 1_000)
        report(server.banner())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_reload_at_hangup, server, report)
            await stop.asked.wait()
            report("Stopping: turns in flight may finish; once more Ctrl-C ends them")
            with stop.draining:
                await server.drain()
            nursery.cancel_scope.cancel()


async def _reload_at_hangup(server: "Server", report: Report) -> None:
    """SIGHUP reads the settings again; of these, supervision takes effect at once."""
    with trio.open_signal_receiver(signal.SIGHUP) as hangups:
        async for _ in hangups:
            try:
                server.tuning.settings_changed(_supervision(load().settings))
            except ConfigError as error:
                report(f"The settings were not taken: {error.message}. Next: {error.remedy or 'mend them'}")
            else:
                report("Supervision policy read again; other settings take effect at the next start")


class Server:
    """A server that runs: where it is, and how it is drained."""

    def __init__(
        self, settings: Settings, system: ActorSystem, tuning: Tuning, where: str, parts: dict[str, str]
    ) -> None:
        self.settings = settings
        self.system = system
        self.tuning = tuning
        self.url = where
        self._parts = parts

    def banner(self) -> str:
        """The address, what runs where and the next step."""
        width = max(len(name) for name in self._parts)
        parts = "\n".join(f"  {name:<{width}}  {where}" for name, where in self._parts.items())
        return (
            f"\nHivemind is ready at {self.url}\n\n{parts}\n\n"
            f"Next: open {self.url} in a browser, or in another terminal\n"
            "  .venv/bin/hivemind chat hello      talk to the demo agent\n"
            "  .venv/bin/hivemind actors          watch the tree\n"
            "Ctrl-C stops it.\n"
        )

    async def drain(self) -> None:
        """Let what is in flight finish."""
        await self.system.at("/edge").call(Drain(), timeout_seconds=self.settings.server.drain_seconds + 5)


@asynccontextmanager
async def running(
    settings: Settings, report: Report, sources: Mapping[str, str] | None = None
) -> AsyncIterator[Server]:
    """Start every part in order; leaving the context stops them in reverse. `sources`: of the settings."""
    policies = Policies.from_mapping(_supervision(settings), kinds=KINDS)
    folder = settings.data.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    keys = keyfiles.ensure(settings.data.secrets_folder)
    parts: dict[str, str] = {}
    async with AsyncExitStack() as stack:
        children: list[ChildSpec] = []
        conninfo = await _database(settings, report, stack, children, parts)
        database = await stack.enter_async_context(
            Database(
                conninfo,
                size=settings.database.pool_size,
                wait_seconds=settings.database.wait_seconds,
                prepare_threshold=settings.database.prepare_threshold or None,
            )
        )
        await migrate(database, report=report)
        client = await stack.enter_async_context(HttpClient())
        traces = await _traces(settings.traces, stack)
        switch = Switch()
        await killswitch.look(database, switch)
        calls = await _provider(settings, report, stack, client, switch, children, parts)
        classifier = Classifier.load(settings.guards.classifier, settings.guards.classifier_weight)
        guards = await trio.to_thread.run_sync(
            Guards.load, folder / "guards", classifier, abandon_on_cancel=True
        )
        prices = Prices(settings.budgets.prices)
        health = Health(database, calls, prices, folder, switch)
        counts = Counts()
        profiles = Profiles(database)
        system = ActorSystem(policies=policies)
        toolbox = await _tools(settings, stack, children, system, database, profiles, guards)
        server = stack.enter_context(server_id(folder))
        resources = Resources(
            database,
            guards,
            calls,
            prices,
            profiles,
            toolbox,
            settings.lease_seconds,
            settings.guards.timeout_seconds,
            settings.local_model.context_tokens if calls.name == "local" else None,
            switch,
            counts=counts,
            traces=traces,
            server=server,
            max_attempts=settings.agents.max_attempts,
        )
        await stack.enter_async_context(system)
        limiter = Limiter(settings.limits)
        await recount(database, limiter)
        callers = Callers(keys.caller_key, networks(settings.server.trusted_proxies))
        tokens = Tokens(keys.signing_keys, settings.limits.conversation_token_seconds)
        refusals = Refusals(counts)
        chat = Chat(system, profiles, limiter, callers, tokens, refusals)
        tuning = Tuning(system, _supervision(settings), KINDS)
        lane = routes.lane(
            chat,
            system,
            health,
            database,
            guards,
            profiles,
            toolbox,
            limiter,
            tuning,
            refusals,
            Identities(database, keys.admin_api_key, settings.auth.session_idle_seconds),
            _forward(settings.auth, keys.signing_keys[0]),
            _issuer(settings, client),
            keys.signing_keys[0],
            callers,
            settings.auth,
            Loaded(settings, sources or {}),
            calls,
            switch,
            counts,
            settings.guards.timeout_seconds,
            settings.metrics.access,
            settings.plane.webhook_secret,
            body_limits=BodyLimits.of(settings.server),
        )
        await system.start(
            *children,
            ChildSpec("agents", RowSupervisor, kwargs=_agents(resources)),
            ChildSpec(
                "workers",
                Supervisor,
                (
                    (
                        ChildSpec("kill-switch", KillSwitch, (database, switch), policy=WORKER_POLICY),
                        ChildSpec(
                            "watchdog", Watchdog, (resources, health, settings.watchdog), policy=WORKER_POLICY
                        ),
                        ChildSpec("seal", Sealer, _sealer(settings, database, keys), policy=WORKER_POLICY),
                        ChildSpec("refusals", RefusalWriter, (database, refusals), policy=WORKER_POLICY),
                        *_work(settings, database, profiles, client, switch),
                    ),
                ),
            ),
            ChildSpec("edge", Edge, (lane, settings.server), policy=WORKER_POLICY),
        )
        bound = await system.at("/edge").call("where")
        if keys.made:
            report(f"Made the keys of this installation in {settings.data.secrets_folder.resolve()}")
        parts["admin key"] = str(settings.data.secrets_folder.resolve() / keyfiles.ADMIN_API_KEY)
        yield Server(settings, system, tuning, f"http://{bound.host}:{bound.port}", parts)


def _forward(settings: AuthSettings, secret: bytes) -> Forward | None:
    """What believes the proxy in front, where one signs people in."""
    if not settings.forward_auth:
        return None
    proxies = networks(settings.forward_auth_trusted_nets)
    return Forward(proxies, settings.group_roles, settings.default_role, secret)


def _issuer(settings: Settings, client: HttpClient) -> Issuer | None:
    """Where people sign in by OpenID Connect."""
    if settings.oidc.issuer is None or settings.auth.public_url is None:
        return None
    return Issuer(client, settings.oidc, settings.auth.public_url)


async def _traces(settings: TraceSettings, stack: AsyncExitStack) -> Traces:
    """What makes traces, and sends the last of them when the server stops.

    Raises:
        ConfigError: they are wanted, and what sends them is not installed.
    """
    if settings.endpoint is None:
        return OFF
    try:
        from hivemind.otlp import Otlp  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigError(
            f"traces.endpoint is set, but {error.name} is not installed",
            remedy="pip install 'hivemind[otel]', or unset traces.endpoint",
        ) from error
    otlp = Otlp(settings)
    stack.push_async_callback(otlp.close)
    return otlp


def _supervision(settings: Settings) -> dict[str, dict[str, object]]:
    return {"/": dict(ROOT_POLICY), **settings.supervision}


async def _tools(
    settings: Settings,
    stack: AsyncExitStack,
    children: list[ChildSpec],
    system: ActorSystem,
    database: Database,
    profiles: Profiles,
    guards: Guards,
) -> Toolbox:
    """What agents may call: our own tools, and those of MCP servers as they connect."""
    targets = Targets(tuple(map(ip_network, settings.outbound.allowed_networks)))
    client = await stack.enter_async_context(HttpClient(targets=targets))
    catalogue = Catalogue()
    if settings.mcp.servers:
        from hivemind.agents.tools.mcp import Connection, Link  # noqa: PLC0415 the SDK costs 20 MB

        anywhere = await stack.enter_async_context(HttpClient())
        connections = tuple(
            ChildSpec(
                name,
                Connection,
                (
                    Link(name),
                    server,
                    catalogue,
                    guards,
                    settings.guards.timeout_seconds,
                    database,
                    anywhere if server.allow_private else client,
                ),
                policy=MCP_POLICY,
            )
            for name, server in settings.mcp.servers.items()
        )
        children.append(ChildSpec("mcp", Supervisor, (connections,), policy=MCP_SUPERVISOR_POLICY))
    return Toolbox(
        {
            fetch.NAME: fetch.builtin(client),
            knowledge.NAME: knowledge.builtin(database),
            delegate.NAME: delegate.builtin(system, database, profiles),
            task.NAME: task.builtin(database, profiles),
            create_schedule.NAME: create_schedule.builtin(database, profiles),
        },
        catalogue,
    )


def _sealer(settings: Settings, database: Database, keys: keyfiles.Keys) -> tuple[object, ...]:
    heads_file = settings.data.folder.resolve() / HEADS_FILE
    return (
        database,
        HeadKey(keys.audit_key),
        heads_file,
        settings.audit.head_seconds,
        settings.audit.keep_days,
    )


async def _database(
    settings: Settings,
    report: Report,
    stack: AsyncExitStack,
    children: list[ChildSpec],
    parts: dict[str, str],
) -> str:
    if settings.database.url is not None:
        parts["database"] = "as configured"
        return settings.database.url.get_secret_value()
    embedded = EmbeddedPostgres(settings.data.folder.resolve() / "postgres")
    await embedded.start(report)
    stack.push_async_callback(embedded.stop)
    children.append(
        ChildSpec("database", ChildProcess, ("the embedded Postgres", embedded, report), policy=CHILD_POLICY)
    )
    parts["database"] = f"embedded Postgres {embedded.version}, process {embedded.pid}"
    return embedded.conninfo


async def _provider(
    settings: Settings,
    report: Report,
    stack: AsyncExitStack,
    client: HttpClient,
    switch: Switch,
    children: list[ChildSpec],
    parts: dict[str, str],
) -> Calls:
    name = choose(settings.llm, local=local_installed())
    if name != "local" or settings.llm.endpoint is not None:
        calls = connect(settings.llm, client)
        if switch.refuses(Stage.EVERYTHING):
            told: str | None = "not asked: everything is switched off"
        else:
            told = (await ping_at_start(calls)).message
        parts["model"] = f"{calls.name}: {calls.default_model or 'none'} ({told or 'answers'})"
        return calls
    model = LocalModel(settings.local_model, settings.data.folder.resolve() / "models")
    try:
        await model.start(report)
    except HivemindError as error:
        report(f"{error.message}; the server runs without it and tries again. Next: {error.remedy}")
    stack.push_async_callback(model.stop)
    children.append(
        ChildSpec("local-model", ChildProcess, ("the local model", model, report), policy=CHILD_POLICY)
    )
    calls = connect(settings.llm, client, local_endpoint=lambda: model.endpoint)
    parts["model"] = f"{model.name} on this machine, process {model.pid}"
    return calls


def _work(
    settings: Settings, database: Database, profiles: Profiles, client: HttpClient, switch: Switch
) -> Iterator[ChildSpec]:
    """What works without a person who waits."""
    arguments = (database, profiles, settings.directives, uuid7(), switch)
    yield ChildSpec("directives", Dispatcher, arguments, policy=WORKER_POLICY)
    if settings.schedules.enabled:
        yield ChildSpec("schedules", Ticker, (partial(sweep, database),), policy=WORKER_POLICY)
    yield ChildSpec("plane", Puller, (database, client, settings.plane), policy=WORKER_POLICY)


def _agents(resources: Resources) -> dict[str, object]:
    def child(name: str) -> ChildSpec:
        return ChildSpec(name, Agent, (UUID(name), resources), policy=AGENT_POLICY)

    async def on_give_up(name: str, exit: Exit) -> None:  # noqa: A002
        await give_up(resources, UUID(name), exit)

    return {"child": child, "on_give_up": on_give_up}
