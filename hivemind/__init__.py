"""Hivemind: a self-hosted, supervised, governed server for LLM agents."""

__version__ = "0.1.0"
