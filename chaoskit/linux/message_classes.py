"""pyroute2's classes of netlink messages, read when the first message is made.

Most commands make no message, and whoever builds a lab of containers reads them while the engine works. The package itself,
which would take a tenth of a second, is not read.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from chaoskit.linux.late_package import read_in_parts

read_in_parts("pyroute2")


def link(raw: bytes = b"") -> Any:
    """`ifinfomsg`: a device. With `raw`, one to be decoded."""
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

    return ifinfmsg(raw) if raw else ifinfmsg()


def address() -> Any:
    """`ifaddrmsg`: an address of a device."""
    from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg

    return ifaddrmsg()


def route() -> Any:
    """`rtmsg`: a route."""
    from pyroute2.netlink.rtnl.rtmsg import rtmsg

    return rtmsg()


def nft_bound() -> Any:
    """`nfgenmsg`: what a transaction of nftables begins and ends with."""
    from pyroute2.netlink.nfnetlink import nfgen_msg

    return nfgen_msg()


def nft_table(raw: bytes = b"") -> Any:
    """A table of nftables. With `raw`, one to be decoded."""
    from pyroute2.netlink.nfnetlink.nftsocket import nft_table_msg

    return nft_table_msg(raw) if raw else nft_table_msg()


def nft_chain() -> Any:
    """A chain of nftables."""
    from pyroute2.netlink.nfnetlink.nftsocket import nft_chain_msg

    return nft_chain_msg()


def nft_rule(raw: bytes = b"") -> Any:
    """A rule of nftables. With `raw`, one to be decoded."""
    made = nft_rule_class()
    return made(raw) if raw else made()


@cache
def nft_rule_class() -> Any:
    """pyroute2's rule, with a `fwd` expression that can be encoded: its own names a type that does not exist."""
    from pyroute2.netlink.nfnetlink.nftsocket import nft_regs, nft_rule_msg

    class Rule(nft_rule_msg):  # type: ignore[misc]
        class nft_expr(nft_rule_msg.nft_expr):  # type: ignore[misc]
            class nft_fwd(nft_regs):  # type: ignore[misc]
                nla_map = (("NFTA_FWD_UNSPEC", "none"), ("NFTA_FWD_SREG_DEV", "regs"))

    return Rule
