"""Whether a number or address that looks personal is one: check digits, number plans, address syntax.

The arithmetic is python-stdnum's, phonenumbers' and ipaddress'. A check is given the data and the span that a
rule measured and returns the parts that count, each with its type.
"""

import ipaddress
from collections.abc import Callable, Mapping
from typing import Any

import phonenumbers
from stdnum import luhn

Check = Callable[[bytes, int, int], list[tuple[int, int, str]]]


def ip_address(data: bytes, start: int, end: int) -> list[tuple[int, int, str]]:
    """Any IP address that parses."""
    try:
        ipaddress.ip_address(data[start:end].decode())
    except ValueError:
        return []
    return [(start, end, "IP_ADDRESS")]


CHECKS: Mapping[str, Check] = {"ip_address": ip_address}
