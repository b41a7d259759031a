"""Which provider the settings mean, and what goes without saying about each."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

from hivemind.errors import ProviderUnavailable
from hivemind.outbound import HttpClient
from hivemind.providers.anthropic import Anthropic
from hivemind.providers.base import Provider
from hivemind.providers.calls import Calls
from hivemind.providers.dialect import Dialect
from hivemind.providers.ollama import Ollama
from hivemind.providers.openai import OpenAI
from hivemind.providers.patience import Patience
from hivemind.providers.remote import Remote
from hivemind.providers.scripted import Scripted
from hivemind.settings import LlmSettings, ProviderName

LOCAL_MODEL = "smollm2-135m"


@dataclass(frozen=True, slots=True)
class _Defaults:
    """What holds where the settings are silent; None where they may not be."""

    dialect: Dialect
    endpoint: str | None
    model: str | None
    needs_key: bool = False


_DEFAULTS: dict[ProviderName, _Defaults] = {
    "anthropic": _Defaults(Anthropic(), "https://api.anthropic.com", "claude-sonnet-4-5", needs_key=True),
    "openai": _Defaults(OpenAI("openai"), "https://api.openai.com/v1", "gpt-4.1-mini", needs_key=True),
    "openai-compat": _Defaults(OpenAI("openai-compat"), None, None),
    "ollama": _Defaults(Ollama(), "http://localhost:11434", "llama3.2"),
    "local": _Defaults(OpenAI("local"), None, LOCAL_MODEL),
}


def local_installed() -> bool:
    """Whether this installation can run the local model."""
    return find_spec("xllamacpp") is not None


def choose(settings: LlmSettings, *, local: bool) -> ProviderName:
    """The provider that the settings mean; `local` says whether the local model is installed."""
    if settings.provider is not None:
        return settings.provider
    return "local" if settings.api_key is None and local else "anthropic"


def connect(
    settings: LlmSettings, client: HttpClient, *, local_endpoint: Callable[[], str] | None = None
) -> Calls:
    """The provider that the settings mean, wrapped in patience.

    Nothing is refused here: what is missing shows at the ping and at each call. `local_endpoint` says where
    the local model is at the moment, or raises `ProviderUnavailable`.
    """
    name = choose(settings, local=local_installed())
    return Calls(_provider(name, settings, client, local_endpoint), patience(name, settings))


def patience(name: ProviderName, settings: LlmSettings) -> Patience:
    """What is on this machine is not paced, and looked for again soon after it went away."""
    if name in ("local", "scripted"):
        return Patience(
            timeout_seconds=settings.timeout_seconds,
            pace_seconds=0,
            max_retries=settings.max_retries,
            breaker_open_seconds=1,
        )
    return Patience(
        timeout_seconds=settings.timeout_seconds,
        pace_seconds=settings.pace_ms / 1000,
        max_retries=settings.max_retries,
    )


def _provider(
    name: ProviderName, settings: LlmSettings, client: HttpClient, local_endpoint: Callable[[], str] | None
) -> Provider:
    if name == "scripted":
        return Scripted.load(settings.recording) if settings.recording else Scripted()
    defaults = _DEFAULTS[name]
    endpoint = settings.endpoint or defaults.endpoint
    model = settings.model or defaults.model
    if name == "local" and settings.endpoint is None:
        return Remote(
            defaults.dialect,
            client,
            local_endpoint or _not_running,
            key=None,
            default_model=model or LOCAL_MODEL,
        )
    missing = None
    if settings.api_key is None and defaults.needs_key:
        missing = "HIVEMIND_LLM_API_KEY"
    elif endpoint is None:
        missing = "HIVEMIND_LLM_ENDPOINT"
    elif model is None:
        missing = "HIVEMIND_LLM_MODEL"
    return Remote(
        defaults.dialect,
        client,
        endpoint or "",
        key=settings.api_key,
        default_model=model or "",
        missing=missing,
    )


def _not_running() -> str:
    raise ProviderUnavailable("the local model is not running")
