"""Tools of MCP servers: one supervised connection each, its tools in the catalogue.

Import this package only where there are servers: the SDK costs half a second and 20 MB.
"""

from hivemind.agents.tools.mcp.connection import Connection
from hivemind.agents.tools.mcp.link import Link

__all__ = ["Connection", "Link"]
