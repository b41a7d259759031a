"""Whether an address, host or token in a reply gives something internal away.

Checks in the form of `pii.Check`; what looks like a leak is in the rule files.
"""

import ipaddress
from collections.abc import Mapping

from hivemind.guards.pii import Check

CHECKS: Mapping[str, Check] = {}
