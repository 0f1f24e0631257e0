"""All of a standing lab that a fault could leave changed, as text: to compare before the first and after the last act."""

from __future__ import annotations

import difflib
import json
import re
import subprocess
import sys
import time

from chaoskit.backends.linux_host.state import processes_of
from chaoskit.backends.namespace.backend import NamespaceBackend
from chaoskit.backends.namespace.lab import NamespaceLab
from chaoskit.model.steps import Exec

DESCRIBED = r"""
import hashlib, os

def settings():
    return [f"/etc/{name}" for name in os.listdir("/etc") if os.path.isfile(f"/etc/{name}")]

def describe(paths):
    for path in sorted(paths):
        seen = os.lstat(path)
        content = os.readlink(path) if os.path.islink(path) else hashlib.sha256(open(path, "rb").read()).hexdigest()
        names = sorted(os.listxattr(path, follow_symlinks=False))
        marks = [(name, os.getxattr(path, name, follow_symlinks=False).hex()) for name in names]
        print(path, oct(seen.st_mode), seen.st_uid, seen.st_gid, content, marks, seen.st_mtime_ns)
"""
INSIDE = r"""
import re, subprocess, struct
from chaoskit.backends.linux_host import transport
from chaoskit.linux import netlink

def show(what, *words):
    print(f"--- {what}")
    print(subprocess.run(words, capture_output=True, text=True, check=True).stdout)

for command in ("ip -o link", "ip -o addr", "ip route show table all", "ip -6 route show table all", "ip rule", "tc qdisc show"):
    show(command, *command.split())
print("--- nftables")
for what, number in (("table", 1), ("chain", 4), ("rule", 7)):
    request = struct.pack("=IHHIIBBH", 20, 10 << 8 | number, 0x301, 1, 0, 0, 0, 0)
    for message in netlink.messages(transport.dump(netlink.NETLINK_NETFILTER, request)):
        if message.type != netlink.NLMSG_DONE:
            print(what, message.payload[:1].hex(), message.payload[4:])  # bytes 2 and 3 number the generation
if FILES:
    print("--- settings")
    for name in ("ip_forward", "conf/all/rp_filter", "conf/eth0/proxy_arp", "conf/eth0/arp_ignore"):
        print(name, open(f"/proc/sys/net/ipv4/{name}").read().strip())
    print("--- files")
    paths = [f"{parent}/{name}" for top in ("/srv", "/data") for parent, _, names in os.walk(top) for name in names]
    describe(settings() + paths)
    print("--- mounts")
    print(*sorted(re.sub(r"^\S+ \S+ \S+ ", "", line).split(" - ")[0] for line in open("/proc/self/mountinfo")), sep="")
    print("--- processes")
    for pid in sorted(int(n) for n in os.listdir("/proc") if n.isdigit()):
        try:
            words = open(f"/proc/{pid}/cmdline").read().split("\0")
            if pid == os.getpid() or any("chaoskit" in w and "relay" not in w for w in words):
                continue
            state = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0].replace("R", "S").replace("D", "S")
            limits = [line.split() for line in open(f"/proc/{pid}/limits")][1:]
            print(words[:3], state, [" ".join(line) for line in limits if "files" in line or "processes" in line])
        except (ProcessLookupError, FileNotFoundError):
            pass
"""


def prior_state(lab: NamespaceLab, *, files: bool = True) -> dict[str, str]:
    """Place -> what is there: each node and the switch, with links, addresses, routes, qdiscs and rules. With `files`, each
    node's files, mounts and processes as well."""
    seen = {}
    of_machine = host_settings() if files else set()
    for node in lab.plan.nodes:
        script = f"FILES = {files}\n{DESCRIBED}\n{INSIDE}"
        seen[node.name] = lab.perform(Exec(node=node.name, argv=(sys.executable, "-c", script), timeout_s=30.0)).output
    inside = ["nsenter", f"--net={switch_of(lab)}", sys.executable, "-c", f"FILES = False\n{DESCRIBED}\n{INSIDE}"]
    seen["switch"] = subprocess.run(inside, capture_output=True, text=True, check=True).stdout
    # the switch's end of a rebooted node's cable is a new one, with an address and a number of the kernel's choice
    seen["switch"] = re.sub(r"fe80::[0-9a-f:]+|(?<=link/ether )[0-9a-f:]+|(?<=link-netnsid )\d+", "*", seen["switch"])
    found = {where: sorted(line.strip() for line in text.splitlines()) for where, text in seen.items()}
    if files:
        found |= {node.name: apart_from(of_machine, found[node.name]) for node in lab.plan.nodes}
    return {where: "\n".join(lines) for where, lines in found.items()}


def host_settings() -> set[str]:
    """A line for each file of this machine's /etc, which nodes see as well."""
    argv = [sys.executable, "-c", f"{DESCRIBED}\ndescribe(settings())"]
    return set(subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines())


def apart_from(of_machine: set[str], of_node: list[str]) -> list[str]:
    """How the node differs from its machine: whatever installs a package meanwhile changes both, and is no fault's doing."""
    own = [line for line in of_node if line not in of_machine]
    there = {line.split()[0] for line in of_node if line.startswith("/etc/")}
    return own + sorted(f"{path} is not there" for path in {line.split()[0] for line in of_machine} - there)


def switch_of(lab: NamespaceLab) -> str:
    """The network namespace of the lab's switch: the one that holds its first port."""
    for pid in processes_of(lab.lab_id):
        path = f"/proc/{pid}/ns/net"
        shown = subprocess.run(["nsenter", f"--net={path}", "ip", "-o", "link"], capture_output=True, text=True, check=False)
        if " n0e0@" in shown.stdout:
            return path
    raise AssertionError("no process of the lab is in its switch's network")


def changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Lines that are new, or gone."""
    return [
        f"{where}: {line}"
        for where in sorted({*before, *after})
        for line in difflib.ndiff(before.get(where, "").splitlines(), after.get(where, "").splitlines())
        if line[0] in "+-"
    ]


def at_rest(lab: NamespaceLab, *, files: bool = True) -> dict[str, str]:
    """The state once duplicate address detection is over everywhere."""
    deadline = time.monotonic() + 10.0
    while "tentative" in "".join((state := prior_state(lab, files=files)).values()):
        assert time.monotonic() < deadline, "the lab's network never comes to rest"
        time.sleep(0.2)
    return state


def main(lab_id: str) -> None:
    """Print the state as JSON."""
    print(json.dumps(at_rest(NamespaceBackend().attach(lab_id))))


if __name__ == "__main__":
    main(sys.argv[1])
