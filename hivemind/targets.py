"""Which addresses may be called where somebody else chose the URL: public ones, and what the owner allows.

The check is of an address, after the name was resolved and before anything is sent; a name proves nothing.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# What the registries of special addresses name and what routes into an IPv4 network by a detour, with words
# for whoever asked. The standard library's own word comes last, for what is added to the registries.
_REFUSED: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(network), words)
    for network, words in (
        ("169.254.169.254/32", "the metadata service of a cloud"),
        ("169.254.170.2/32", "the metadata service of a cloud"),
        ("100.100.100.200/32", "the metadata service of a cloud"),
        ("168.63.129.16/32", "the metadata service of a cloud"),
        ("192.0.0.192/32", "the metadata service of a cloud"),
        ("fd00:ec2::/32", "the metadata service of a cloud"),
        ("fd20:ce::254/128", "the metadata service of a cloud"),
        ("0.0.0.0/8", "this host"),
        ("::/127", "this host"),
        ("127.0.0.0/8", "this host"),
        ("10.0.0.0/8", "a private network"),
        ("172.16.0.0/12", "a private network"),
        ("192.168.0.0/16", "a private network"),
        ("fc00::/7", "a private network"),
        ("fec0::/10", "a private network"),
        ("100.64.0.0/10", "a carrier's private network"),
        ("169.254.0.0/16", "the local link"),
        ("fe80::/10", "the local link"),
        ("224.0.0.0/4", "a multicast group"),
        ("ff00::/8", "a multicast group"),
        ("192.88.99.0/24", "a tunnel into IPv6"),
        ("::/96", "an IPv4 address in disguise"),
        ("::ffff:0:0:0/96", "an IPv4 address in disguise"),
        ("64:ff9b::/96", "an IPv4 address behind NAT64"),
        ("64:ff9b:1::/48", "an IPv4 address behind NAT64"),
        ("2001::/32", "an IPv4 address behind Teredo"),
        ("2002::/16", "an IPv4 address behind 6to4"),
    )
)


@dataclass(frozen=True, slots=True)
class Targets:
    """Refuses every address that is not public, except for the networks that the owner allows."""

    allowed: tuple[Network, ...] = ()

    def refusal(self, text: str) -> str | None:
        """Why this address may not be called, or None where it may."""
        address = plain(text)
        if any(address in network for network in self.allowed):
            return None
        for network, words in _REFUSED:
            if address in network:
                return words
        return None if address.is_global else "not a public address"


def plain(text: str) -> Address:
    """An address without its zone, and the IPv4 address inside of one that only wraps it."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
