"""Clients for the models that answer: one contract, one module per wire format, one wrapper for all."""

from hivemind.providers.base import (
    Provider,
    ProviderEvent,
    ProviderMessage,
    ProviderRequest,
    Stop,
    StopReason,
    TextDelta,
    ToolCall,
    ToolSpec,
    Usage,
)
from hivemind.providers.calls import Calls
from hivemind.providers.connect import choose, connect, local_installed
from hivemind.providers.local import LocalModel
from hivemind.providers.ping import PingCheck, ping_at_start
from hivemind.providers.scripted import Scripted

__all__ = [
    "Calls",
    "LocalModel",
    "PingCheck",
    "Provider",
    "ProviderEvent",
    "ProviderMessage",
    "ProviderRequest",
    "Scripted",
    "Stop",
    "StopReason",
    "TextDelta",
    "ToolCall",
    "ToolSpec",
    "Usage",
    "choose",
    "connect",
    "local_installed",
    "ping_at_start",
]
