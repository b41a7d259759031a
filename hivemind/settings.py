"""The settings of one installation: sections, defaults and one line on each.

A component receives its own section and nothing else; no module reads the environment. Where each value
came from is found by `load` and shown by `hivemind config explain`.
"""

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

ProviderName = Literal["anthropic", "openai", "openai-compat", "ollama", "local", "scripted"]
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _network(text: str) -> str:
    ip_network(text)
    return text


def _base_url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    return text.rstrip("/")


Network = Annotated[str, AfterValidator(_network)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]


class Section(BaseModel):
    """A frozen group of settings; a key that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ServerSettings(Section):
    """Where the server listens and how it treats its clients."""

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8585, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    trusted_proxies: tuple[Network, ...] = Field(
        (), description="networks (CIDR) whose X-Forwarded-For header is believed"
    )
    max_body_bytes: int = Field(262_144, gt=0, description="largest request body that is read")
    max_document_bytes: int = Field(
        8_388_608, gt=0, description="largest request body with a document for the knowledge"
    )
    max_connections: int = Field(4_000, gt=0, description="connections open at once")
    header_timeout_seconds: Positive = Field(10, description="time for a request to arrive whole")
    idle_timeout_seconds: Positive = Field(75, description="time an idle connection is kept")
    send_timeout_seconds: Positive = Field(10, description="time for one send to a slow reader")
    drain_seconds: Positive = Field(15, description="time for turns to finish when stopping")


class DataSettings(Section):
    """Where files live."""

    folder: Path = Field(Path("data"), description="embedded database, model weights, compiled rules")
    secrets_folder: Path = Field(Path("secrets"), description="keys made at the first start (mode 0700)")


class DatabaseSettings(Section):
    """Which Postgres holds the state."""

    url: SecretStr | None = Field(None, description="libpq URL; unset starts the embedded Postgres 17")
    pool_size: int = Field(8, gt=0, description="connections held open")
    wait_seconds: Positive = Field(10, description="how long a request waits for the database")
    prepare_threshold: int = Field(
        5, ge=0, description="runs before a statement is prepared; 0 (never) behind a transaction pooler"
    )


class LlmSettings(Section):
    """Which model answers where a profile does not say otherwise."""

    provider: ProviderName | None = Field(
        None,
        description="unset: anthropic when a key is set, else the local model when installed, else anthropic",
    )
    endpoint: BaseUrl | None = Field(
        None, description="base URL without a trailing slash; default per provider"
    )
    api_key: SecretStr | None = Field(None, description="the provider's key")
    model: str | None = Field(None, description="model id; default per provider")
    recording: Path | None = Field(
        None, description="a file of answers that the provider scripted plays; unset: it says that it is one"
    )
    timeout_seconds: Positive = Field(60, description="time for one provider call")
    pace_ms: int = Field(400, ge=0, description="smallest gap between two calls to a remote provider")
    max_retries: int = Field(3, ge=0, description="tries after the first, before the first token only")


class LocalModelSettings(Section):
    """The small model that makes a fresh machine answer offline."""

    weights: Path | None = Field(None, description="a GGUF file; unset takes the built-in SmolLM2 135M")
    context_tokens: int = Field(2048, ge=256, description="context window")
    threads: int | None = Field(None, gt=0, description="threads to compute with; unset: one per core")
    parallel: int = Field(2, gt=0, description="answers generated at once")


class LimitSettings(Section):
    """How often people may ask."""

    per_ip_per_minute: int = Field(20, gt=0, description="messages a minute from one address")
    per_key_per_minute: int = Field(
        300, gt=0, description="messages a minute with one API key, over `/v1` and `/mcp`"
    )
    per_conversation_per_minute: int = Field(20, gt=0, description="messages a minute in one conversation")
    per_profile_per_minute: int = Field(
        300, gt=0, description="messages a minute to one profile that has no limit of its own"
    )
    global_per_minute: int = Field(600, gt=0, description="messages a minute over all callers")
    global_per_day: int = Field(50_000, gt=0, description="messages in 24 hours over all callers")
    conversation_token_seconds: Positive = Field(
        2_592_000, description="how long the token of a conversation is good for; each reply brings a new one"
    )


class GuardSettings(Section):
    """How texts are checked."""

    timeout_seconds: Positive = Field(
        5, description="time for one check of a text; after that the text is refused"
    )
    classifier: str = Field(
        "",
        description="package.module:function that says, 0 to 1, how likely a text is an attack; empty: none",
    )
    classifier_weight: float = Field(
        0.5, ge=0, le=1, description="what the classifier counts among the injection rules when it says 1"
    )


class BudgetSettings(Section):
    """Money."""

    lease_seconds: Positive | None = Field(
        None,
        description="how long a reservation outlives a crashed turn; unset: 300, or longer where steps are",
    )
    prices: dict[str, tuple[int, int]] = Field(
        {},
        description="micro-dollars per million (input, output) tokens by model; [0, 0] declares it free",
    )


class AuthSettings(Section):
    """How people sign in."""

    session_seconds: Positive = Field(2_592_000, description="how long a session lasts at the most")
    session_idle_seconds: Positive = Field(604_800, description="how long an unused session lasts")
    public_url: BaseUrl | None = Field(
        None, description="the address that browsers use; https makes the session's cookie Secure"
    )
    forward_auth: bool = Field(
        False, description="true: a proxy in front signs people in, and says who they are in headers"
    )
    forward_auth_trusted_nets: tuple[Network, ...] = Field(
        (), description="networks (CIDR) of the proxies whose identity headers are believed"
    )
    group_roles: dict[str, Literal["viewer", "operator", "admin"]] = Field(
        {}, description="role by group of the identity provider; of several the highest counts"
    )
    default_role: Literal["viewer", "operator", "admin"] | None = Field(
        None, description="role of whom the identity provider names without such a group; unset: none"
    )

    @model_validator(mode="after")
    def _somebody_may_say_it(self) -> Self:
        if self.forward_auth and not self.forward_auth_trusted_nets:
            raise ValueError(
                "forward_auth needs forward_auth_trusted_nets: from which networks the proxy comes"
            )
        return self


def _issuer(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme != "https" and (parts.scheme != "http" or parts.hostname not in _LOOPBACK):
        raise ValueError("must begin with https:// (http:// only on this machine)")
    if parts.query or parts.fragment:
        raise ValueError("must not have a query or a fragment")
    return text


class OidcSettings(Section):
    """Where people sign in by OpenID Connect; `auth.group_roles` says who may do what."""

    issuer: Annotated[str, AfterValidator(_issuer)] | None = Field(
        None, description="the provider's issuer, to the letter; unset: passwords only"
    )
    client_id: str | None = Field(None, min_length=1, description="how the provider calls this server")
    client_secret: SecretStr | None = Field(None, description="its secret; unset for a public client")
    name: str = Field("your organisation", min_length=1, max_length=60, description="on the sign-in button")
    scopes: tuple[str, ...] = Field(
        ("openid", "profile", "email"), description="what is asked for; groups often need one more"
    )
    groups_claim: str = Field("groups", min_length=1, description="the claim that has somebody's groups")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.issuer is None) != (self.client_id is None):
            raise ValueError("oidc.issuer and oidc.client_id belong together")
        if "openid" not in self.scopes:
            raise ValueError("oidc.scopes must have openid in it")
        return self


class AgentSettings(Section):
    """How agents work."""

    max_attempts: int = Field(
        3,
        gt=0,
        description="how often a turn may be cut off in one place, by a crash of its agent or of the server, "
        "before it ends as failed",
    )


class DirectiveSettings(Section):
    """Work that nobody waits for."""

    concurrency: int = Field(16, gt=0, description="directives carried out at once by one server")
    poll_seconds: Positive = Field(5, description="how often to look for those that another server made")
    lease_seconds: Positive = Field(30, description="how long a directive outlives a server that crashed")


class ScheduleSettings(Section):
    """Work at given times."""

    enabled: bool = Field(True, description="false: no schedule is due on this server")


class PlaneSettings(Section):
    """The Plane workspace whose work items are pulled into the tasks; without a key nothing is."""

    api_key: SecretStr | None = Field(None, description="a key of Plane; unset turns the pull off")
    base_url: BaseUrl = Field("https://api.plane.so", description="where Plane is, without a trailing slash")
    workspace: str = Field("", description="the workspace, as its slug in Plane's addresses")
    projects: tuple[str, ...] = Field((), description="ids of projects; none: all of the workspace")
    every_seconds: Positive = Field(300, description="time from one pull to the next")
    full_every: int = Field(12, gt=0, description="each so many-th pull looks for what was deleted")
    webhook_secret: SecretStr | None = Field(
        None, description="the secret of a webhook of Plane; unset refuses its deliveries"
    )


class WatchdogSettings(Section):
    """What looks after agents."""

    sweep_seconds: Positive = Field(30, description="time from one look at all agents to the next")
    health_seconds: Positive = Field(
        300, description="time from one record of the system's health to the next"
    )
    heartbeat_seconds: Positive = Field(
        120, description="how long the daemon of an external agent may be silent"
    )


class AuditSettings(Section):
    """The audit log."""

    head_seconds: Positive = Field(3600, description="how often the end of the chain is signed, at the least")
    keep_days: int | None = Field(
        None,
        gt=0,
        description="age at which rows lose text and details; unset: never. The chain stays whole",
    )


def _variable(name: str) -> str:
    if name.upper().startswith("HIVEMIND"):
        raise ValueError("settings of Hivemind are not passed on")
    return name


ServerName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$")]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"), AfterValidator(_variable)]


class OutboundSettings(Section):
    """Where agents may reach on the network."""

    allowed_networks: tuple[Network, ...] = Field(
        (), description="private networks (CIDR) that agents may fetch from all the same"
    )


class McpServerSettings(Section):
    """One MCP server: a command that is run, or a URL that is called."""

    command: str | None = Field(None, min_length=1, description="program to run, found by PATH")
    args: tuple[str, ...] = Field((), description="its arguments")
    env: dict[Variable, SecretStr] = Field({}, description="its environment, besides HOME, PATH and the like")
    pass_env: tuple[Variable, ...] = Field(
        (), description="variables of our environment that it gets as well"
    )
    url: BaseUrl | None = Field(None, description="address of a server that speaks streamable HTTP")
    headers: dict[str, SecretStr] = Field({}, description="headers that each request carries")
    allow_private: bool = Field(False, description="whether the URL may lead into a private network")
    call_timeout_seconds: Positive = Field(30, description="time for one call of a tool")
    max_result_chars: int = Field(20_000, gt=0, description="how much of a result the model gets")

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if (self.command is None) == (self.url is None):
            raise ValueError("has either a command or a url")
        if self.url is None and (self.headers or self.allow_private):
            raise ValueError("headers and allow_private are for servers with a url")
        if self.command is None and (self.args or self.env or self.pass_env):
            raise ValueError("args, env and pass_env are for servers with a command")
        return self


class McpSettings(Section):
    """Model Context Protocol servers whose tools agents may be offered."""

    servers: dict[ServerName, McpServerSettings] = Field(
        {}, description="by name, each with `command` and `args`, or with `url` and `headers`"
    )


class ClientSettings(Section):
    """Where the command line finds a server that does not run here, and how it opens it."""

    url: BaseUrl | None = Field(None, description="the server; unset: where `server` makes it listen")
    api_key: SecretStr | None = Field(
        None, description="an API key of yours; unset: the key in `data.secrets_folder`"
    )


class TraceSettings(Section):
    """Traces of turns, sent to an OpenTelemetry collector."""

    endpoint: Annotated[str, AfterValidator(_base_url)] | None = Field(
        None, description="where it takes OTLP over HTTP, such as http://127.0.0.1:4318/v1/traces; unset: off"
    )
    headers: SecretStr | None = Field(None, description="sent along, as name=value,name=value")
    share: float = Field(1.0, ge=0, le=1, description="how many of the turns are traced, from 0 to 1")
    service_name: str = Field("hivemind", min_length=1, description="what this server is called there")


class MetricsSettings(Section):
    """What `/metrics` tells, and whom."""

    access: Literal["open", "viewer", "off"] = Field(
        "viewer", description="open: everybody; viewer: a key or session with that role; off: nobody"
    )


class LogSettings(Section):
    """What is written to standard error."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="least severe level")
    format: Literal["text", "json"] = Field("text", description="for people, or for machines")


# A step's money must not be given away while the step runs: a call with its retries, then its tools.
_TOOL_SECONDS = 30.0
_MARGIN_SECONDS = 30.0
_LEASE_SECONDS = 300.0


class Settings(Section):
    """Everything that an owner may set."""

    server: ServerSettings = ServerSettings()
    data: DataSettings = DataSettings()
    database: DatabaseSettings = DatabaseSettings()
    llm: LlmSettings = LlmSettings()
    local_model: LocalModelSettings = LocalModelSettings()
    limits: LimitSettings = LimitSettings()
    guards: GuardSettings = GuardSettings()
    budgets: BudgetSettings = BudgetSettings()
    auth: AuthSettings = AuthSettings()
    oidc: OidcSettings = OidcSettings()
    agents: AgentSettings = AgentSettings()
    directives: DirectiveSettings = DirectiveSettings()
    schedules: ScheduleSettings = ScheduleSettings()
    plane: PlaneSettings = PlaneSettings()
    watchdog: WatchdogSettings = WatchdogSettings()
    audit: AuditSettings = AuditSettings()
    outbound: OutboundSettings = OutboundSettings()
    mcp: McpSettings = McpSettings()
    client: ClientSettings = ClientSettings()
    log: LogSettings = LogSettings()
    metrics: MetricsSettings = MetricsSettings()
    traces: TraceSettings = TraceSettings()
    supervision: dict[str, dict[str, object]] = Field(
        {}, description="supervision policy by kind of actor or by address pattern"
    )

    @property
    def longest_step_seconds(self) -> float:
        """What one step of a turn may take before the money that it holds is held anew."""
        tools = (server.call_timeout_seconds for server in self.mcp.servers.values())
        return self.llm.timeout_seconds + max((_TOOL_SECONDS, *tools)) + _MARGIN_SECONDS

    @property
    def lease_seconds(self) -> float:
        """How long a turn's money is held for it."""
        return self.budgets.lease_seconds or max(_LEASE_SECONDS, self.longest_step_seconds)

    @model_validator(mode="after")
    def _one_way_to_sign_in(self) -> Self:
        if self.oidc.issuer is not None and self.auth.forward_auth:
            raise ValueError("oidc and auth.forward_auth exclude each other: choose who signs people in")
        if self.oidc.issuer is not None and self.auth.public_url is None:
            raise ValueError("oidc needs auth.public_url: where the provider sends people back to")
        return self

    @model_validator(mode="after")
    def _money_is_held_for_a_whole_step(self) -> Self:
        if self.lease_seconds < self.longest_step_seconds:
            raise ValueError(
                f"budgets.lease_seconds must be at least {self.longest_step_seconds:g}: a call may take "
                f"{self.llm.timeout_seconds:g} s (llm.timeout_seconds) and its tools more; or leave it unset"
            )
        return self
