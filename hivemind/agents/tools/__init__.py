"""Tools: what the model may call, who may call what, and what is our own among them."""

from hivemind.agents.tools.arguments import parse
from hivemind.agents.tools.catalogue import Catalogue
from hivemind.agents.tools.tool import Call, Outcome, Tool
from hivemind.agents.tools.toolbox import Builtin, Policy, Toolbox

__all__ = ["Builtin", "Call", "Catalogue", "Outcome", "Policy", "Tool", "Toolbox", "parse"]
