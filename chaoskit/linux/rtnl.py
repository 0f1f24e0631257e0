"""Messages that wire a lab: bridges, veth pairs, addresses, and the state of a switch's ports. Pure: bytes out, nothing sent.

Every interface gets its index and name from the plan, so that all the messages of a lab are known before it exists, and a
node's ports are the same after each reboot.
"""

from __future__ import annotations

import ipaddress
import sys
from typing import Any

from chaoskit.linux import message_classes
from chaoskit.linux.netlink import NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST

RTM_NEWLINK = 16
RTM_DELLINK = 17
RTM_SETLINK = 19
RTM_NEWADDR = 20
RTM_DELADDR = 21
RTM_NEWROUTE = 24

IFF_UP = 1
LOOPBACK_INDEX = 1

_NEW = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL
_SET = NLM_F_REQUEST | NLM_F_ACK

BRIDGE_FIRST_INDEX = 100
PORT_FIRST_INDEX = 1000
INTERFACES_PER_NODE = 16
RELAY_FIRST_INDEX = 1 << 24
"""A relay's devices: above every port's."""
DEVICE_FIRST_INDEX = 2


def bridge_name(network_number: int) -> str:
    """The switch of a lab's n-th network."""
    return f"sw{network_number}"


def bridge_index(network_number: int) -> int:
    return BRIDGE_FIRST_INDEX + network_number


def bridge_mac(network_number: int) -> str:
    """Fixed, because a bridge otherwise takes its lowest port's address and changes it when ports come and go."""
    return f"02:c5:ff:ff:00:{network_number & 0xFF:02x}"


def port_name(node_number: int, interface_number: int) -> str:
    """The switch's end of a node's cable; cut rules match on it."""
    return f"n{node_number}e{interface_number}"


def port_index(node_number: int, interface_number: int) -> int:
    if interface_number >= INTERFACES_PER_NODE:
        raise ValueError(f"a node has at most {INTERFACES_PER_NODE} interfaces")
    return PORT_FIRST_INDEX + node_number * INTERFACES_PER_NODE + interface_number


def bridge(network_number: int) -> bytes:
    """Add a switch that forwards at once, floods multicast, and is up."""
    options = [
        ("IFLA_BR_STP_STATE", 0),
        ("IFLA_BR_FORWARD_DELAY", 0),
        ("IFLA_BR_MCAST_SNOOPING", 0),
    ]
    attributes = [
        ("IFLA_IFNAME", bridge_name(network_number)),
        ("IFLA_ADDRESS", bridge_mac(network_number)),
        ("IFLA_LINKINFO", {"attrs": [("IFLA_INFO_KIND", "bridge"), ("IFLA_INFO_DATA", {"attrs": options})]}),
    ]
    return _link(RTM_NEWLINK, _NEW, bridge_index(network_number), attributes, up=True)


def cable(device: str, number: int, mac: str, port: tuple[str, int], switch_fd: int) -> bytes:
    """Add a node's interface (index from `number`) and, as its peer, a switch port (name, index).

    Sent inside the node; `switch_fd` is the number of the sender's descriptor of the switch's network namespace.
    """
    name, index = port
    peer = {"index": index, "attrs": [("IFLA_IFNAME", name), ("IFLA_NET_NS_FD", switch_fd)]}
    attributes = [
        ("IFLA_IFNAME", device),
        ("IFLA_ADDRESS", mac),
        ("IFLA_LINKINFO", {"attrs": [("IFLA_INFO_KIND", "veth"), ("IFLA_INFO_DATA", {"attrs": [("VETH_INFO_PEER", peer)]})]}),
    ]
    return _link(RTM_NEWLINK, _NEW, DEVICE_FIRST_INDEX + number, attributes, up=True)


def detour(entrance: tuple[str, int], end: tuple[str, int], *, super_frames: bool) -> bytes:
    """A batch: a pair of devices (name, index), both up; what goes out of the first comes in by the second.

    Without `super_frames` the kernel cuts those into frames of the link's own size first.
    """
    wide = ("IFLA_MTU", _LARGEST_MTU)
    peer = {"index": end[1], "attrs": [("IFLA_IFNAME", end[0]), wide]}
    attributes: list[tuple[str, Any]] = [
        ("IFLA_IFNAME", entrance[0]),
        wide,
        *([] if super_frames else [("IFLA_GSO_MAX_SEGS", 1)]),
        ("IFLA_LINKINFO", {"attrs": [("IFLA_INFO_KIND", "veth"), ("IFLA_INFO_DATA", {"attrs": [("VETH_INFO_PEER", peer)]})]}),
    ]
    made = _link(RTM_NEWLINK, _NEW, entrance[1], attributes, up=True)
    return batch(made, _link(RTM_SETLINK, _SET, end[1], [], up=True))


def plug(port: int, network_number: int) -> bytes:
    """Put a port into its switch and bring it up."""
    return _link(RTM_SETLINK, _SET, port, [("IFLA_MASTER", bridge_index(network_number))], up=True)


def unplug(port: int) -> bytes:
    """Delete a port, and with it the node's end of the cable."""
    return _link(RTM_DELLINK, _SET, port, [])


def set_port(port: int, *, up: bool) -> bytes:
    """Bring a switch's port up, or take it down: the node at the other end of the cable loses its carrier."""
    return _link(RTM_SETLINK, _SET, port, [], up=up, down=not up)


def set_named(port: str, *, up: bool) -> bytes:
    """The same for a port that is known by its name only."""
    return _link(RTM_SETLINK, _SET, 0, [("IFLA_IFNAME", port)], up=up, down=not up)


def rename(device: int, name: str) -> bytes:
    """Give a device another name. The kernel answers EBUSY where it cannot do so while the device is up."""
    return _link(RTM_SETLINK, _SET, device, [("IFLA_IFNAME", name)])


def removed(device: str) -> bytes:
    """Delete a device, and its peer. The kernel answers ENODEV where there is none."""
    return _link(RTM_DELLINK, _SET, 0, [("IFLA_IFNAME", device)])


def loopback() -> bytes:
    """Bring `lo` up."""
    return _link(RTM_NEWLINK, _SET, LOOPBACK_INDEX, [], up=True)


def address(number: int, ipv4: str, prefix: int) -> bytes:
    """Give a node's interface an address."""
    return _address(RTM_NEWADDR, _NEW, number, ipv4, prefix)


def no_address(number: int, ipv4: str, prefix: int) -> bytes:
    """Take an address from a node's interface. The kernel answers EADDRNOTAVAIL where it has none such."""
    return _address(RTM_DELADDR, _SET, number, ipv4, prefix)


def route(subnet: str, via: str) -> bytes:
    """Send what is for a subnet to a router."""
    network = ipaddress.ip_network(subnet)
    message = message_classes.route()
    message["family"], message["dst_len"] = 2, network.prefixlen
    message["table"], message["proto"], message["scope"], message["type"] = 254, 4, 0, 1  # main, static, universe, unicast
    message["attrs"] = [("RTA_DST", str(network.network_address)), ("RTA_GATEWAY", via)]
    return _encoded(message, RTM_NEWROUTE, _NEW)


def _address(kind: int, flags: int, number: int, ipv4: str, prefix: int) -> bytes:
    network = ipaddress.ip_network(f"{ipv4}/{prefix}", strict=False)
    message = message_classes.address()
    message["family"], message["prefixlen"], message["index"] = 2, prefix, DEVICE_FIRST_INDEX + number
    message["attrs"] = [
        ("IFA_LOCAL", ipv4),
        ("IFA_ADDRESS", ipv4),
        ("IFA_BROADCAST", str(network.broadcast_address)),
    ]
    return _encoded(message, kind, flags)


def batch(*parts: bytes) -> bytes:
    """The messages as one datagram, numbered from 1, so that each answer names its message."""
    numbered = bytearray()
    for sequence, part in enumerate(parts, start=1):
        numbered += part[:8] + sequence.to_bytes(4, "little" if _LITTLE else "big") + part[12:]
        numbered += b"\0" * (-len(part) % 4)
    return bytes(numbered)


_LARGEST_MTU = 65535
_LITTLE = sys.byteorder == "little"


def _link(kind: int, flags: int, index: int, attributes: list[tuple[str, Any]], *, up: bool = False, down: bool = False) -> bytes:
    message = message_classes.link()
    message["index"] = index
    if up:
        message["flags"] = message["change"] = IFF_UP
    elif down:
        message["change"] = IFF_UP
    message["attrs"] = attributes
    return _encoded(message, kind, flags)


def _encoded(message: Any, kind: int, flags: int) -> bytes:
    message["header"]["type"] = kind
    message["header"]["flags"] = flags
    message["header"]["sequence_number"] = 0
    message["header"]["pid"] = 0
    message.encode()
    return bytes(message.data)
