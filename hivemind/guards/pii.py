"""Whether a number or address that looks personal is one: check digits, number plans, address syntax.

The arithmetic is python-stdnum's, phonenumbers' and ipaddress'. A check is given the data and the span that a
rule measured and returns the parts that count, each with its type.
"""

import ipaddress
from collections.abc import Callable, Mapping

Part = tuple[int, int, str]
Check = Callable[[bytes, int, int], list[Part]]


def ip_address(data: bytes, start: int, end: int) -> list[Part]:
    """Any IP address that parses."""
    try:
        ipaddress.ip_address(data[start:end].decode())
    except ValueError:
        return []
    return [(start, end, "IP_ADDRESS")]


CHECKS: Mapping[str, Check] = {"ip_address": ip_address}
