"""One node: how its namespaces come to be, and how to run something inside them."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

from chaoskit.backends.linux_host import syscalls
from chaoskit.backends.linux_host.processes import forked
from chaoskit.backends.linux_host.wire import NodeJson, Refused
from chaoskit.linux import procfs

SWITCH_FD = 9
"""Where the messages that lay a node's cables find the switch's network namespace, in the process that sends them."""

RLIMITS = tuple(getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_") and name != "RLIMIT_OFILE")
"""Every kind of limit that a process has."""
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33

_ENTER = (
    ("pid", syscalls.CLONE_NEWPID),
    ("uts", syscalls.CLONE_NEWUTS),
    ("ipc", syscalls.CLONE_NEWIPC),
    ("net", syscalls.CLONE_NEWNET),
    ("mnt", syscalls.CLONE_NEWNS),
)


@dataclass
class Node:
    """What the holder knows about a node."""

    plan: NodeJson
    cgroup: Path | None
    init: int = 0
    """Its PID 1, as the holder numbers it; 0 while it is off."""
    pid_namespace: str = ""
    frozen: bool = False
    busy: str = ""
    """"booting" or "powering off" while that goes on."""
    mending: int = 0
    """So many of its volumes are being mounted anew: no service is started again until they are."""
    limiting: Callable[[], list[Path]] = list
    """The groups, beside `cgroup`, that each of its processes enters when it starts."""
    bounding: int | None = None
    """The capabilities that its processes are bound to, as a mask; None: whatever the holder has."""
    rlimits: list[tuple[int, tuple[int, int]]] = field(default_factory=list)
    """Limits of its processes, where they are not the holder's."""
    already_stopped: set[int] = field(default_factory=set)
    """Processes that were stopped before a freeze by signals: thawing must leave them alone."""

    @property
    def name(self) -> str:
        return self.plan["name"]

    @property
    def state(self) -> str:
        if not self.init:
            return "off"
        return "frozen" if self.frozen else "up"


def reserve_switch(*others: int) -> list[int]:
    """This process's network namespace is the switch, and has its number for good: nothing that is opened later gets it.

    Returns `others`, descriptors of which one may have had it, as they are now.
    """
    moved = [os.dup(fd) if fd == SWITCH_FD else fd for fd in others]
    opened = os.open("/proc/self/ns/net", os.O_RDONLY)
    if opened != SWITCH_FD:
        os.dup2(opened, SWITCH_FD, inheritable=False)
        os.close(opened)
    return moved


def is_single_user() -> bool:
    """Whether this user namespace knows uid 0 only."""
    lines = [line.split() for line in Path("/proc/self/uid_map").read_text(encoding="utf-8").splitlines()]
    return sum(int(line[2]) for line in lines) == 1


@contextlib.contextmanager
def network_of(init: int) -> Iterator[None]:
    """The calling thread is in a node's network namespace: sockets made meanwhile belong to it for good."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        away = os.open(f"/proc/{init}/ns/net", os.O_RDONLY)
        try:
            syscalls.setns(away, syscalls.CLONE_NEWNET)
        finally:
            os.close(away)
        try:
            yield
        finally:
            syscalls.setns(home, syscalls.CLONE_NEWNET)
    finally:
        os.close(home)


@dataclass(frozen=True)
class Command:
    """Something to run in a node."""

    argv: list[str]
    user: str
    env: dict[str, str]
    directory: str = "/"
    path: str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def start_in_node(node: Node, command: Command, output: int, *, groups: Sequence[Path] = ()) -> int:
    """Start a command in a node; see `start_body_in_node`."""
    return start_body_in_node(node, lambda: _become(command, node.bounding, node.rlimits), output, groups=groups)


def start_body_in_node(node: Node, body: Callable[[], NoReturn], output: int, *, groups: Sequence[Path] = ()) -> int:
    """Start a process in a node; both its outputs go to the descriptor `output`. Its number, in the holder's view.

    The child that enters exits at once, so the process becomes the holder's own child. Without `groups` it stays out of the
    node's cgroups, and so runs in a frozen node too. Refused where the namespaces cannot be entered.
    """
    if not node.init:
        raise Refused(f"{node.name} is off")
    reader, writer = os.pipe()

    def enter() -> int:
        try:
            for group in groups:
                (group / "cgroup.procs").write_text("0")
            null = os.open("/dev/null", os.O_RDWR)
            os.dup2(null, 0)
            os.dup2(output, 1)
            os.dup2(output, 2)
            opened = [(os.open(f"/proc/{node.init}/ns/{name}", os.O_RDONLY), kind) for name, kind in _ENTER]
            for fd, kind in opened:
                syscalls.setns(fd, kind)
        except OSError as error:
            os.write(writer, f"error {error}".encode())
            return 1
        pid = os.fork()
        if pid == 0:
            syscalls.close_all_but(())
            body()
        os.write(writer, f"pid {pid}".encode())
        return 0

    entering = forked(enter, keep=[writer, output])
    os.close(writer)
    try:
        said = os.read(reader, 4096).decode("utf-8", "replace")
    finally:
        os.close(reader)
    _wait_for_handover(entering)
    if not said.startswith("pid "):
        raise Refused(f"cannot enter {node.name}", said)
    return int(said[4:])


def _wait_for_handover(entering: int) -> None:
    """The command is the holder's child only once the one that started it has ended."""
    deadline = time.monotonic() + 2.0
    while time.monotonic() < deadline:
        try:
            ended, _ = os.waitpid(entering, os.WNOHANG)
        except ChildProcessError:
            return
        if ended:
            return
        time.sleep(0.0002)


def _become(command: Command, bounding: int | None, rlimits: Sequence[tuple[int, tuple[int, int]]]) -> NoReturn:
    """Take the user's identity and execute; 126 or 127 with a sentence where that fails."""
    try:
        os.setsid()
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.umask(0o022)
        account = account_of(command.user)
        if account is None:
            print(f"chaoskit: there is no user {command.user!r} on this node", file=sys.stderr, flush=True)
            os._exit(126)
        for kind, (soft, hard) in rlimits:
            _limit(kind, soft, hard)
        if bounding is not None:
            syscalls.drop_capabilities(bounding)
        assume(account)
        env = {
            "PATH": command.path,
            "HOME": account.home,
            "USER": account.name,
            "LOGNAME": account.name,
            "SHELL": "/bin/sh",
            "LANG": "C.UTF-8",
            **command.env,
        }
        os.chdir(command.directory)
        os.execvpe(command.argv[0], command.argv, env)
    except BaseException as error:  # noqa: BLE001 - this child only reports
        print(f"chaoskit: cannot run {command.argv[0]!r}: {error}", file=sys.stderr, flush=True)
    os._exit(127)


def _limit(kind: int, soft: int, hard: int) -> None:
    """This process's limit, as near as its rights allow: raising what the holder has takes CAP_SYS_RESOURCE."""
    try:
        resource.setrlimit(kind, (soft, hard))
    except (ValueError, OSError):
        most = resource.getrlimit(kind)[1]
        within = [most if value == resource.RLIM_INFINITY else min(value, most) for value in (soft, hard)]
        resource.setrlimit(kind, (within[0], within[1]))


def account_of(user: str) -> procfs.Account | None:
    """The account of a user's name. An image may have no account file: root is known all the same, and so is a bare number.

    `user:group` is understood as images write it.
    """
    if ":" in user:
        return _with_group(*user.split(":", 1))
    found = procfs.accounts(_text_or_nothing("/etc/passwd"))
    if user in found:
        return found[user]
    if user == "root" or user.isdigit():
        number = 0 if user == "root" else int(user)
        same = [account for account in found.values() if account.user_id == number]
        return same[0] if same else procfs.Account(user, number, number, "/", "/bin/sh")
    return None


def _with_group(user: str, group: str) -> procfs.Account | None:
    account = account_of(user)
    entries = [line.split(":") for line in _text_or_nothing("/etc/group").splitlines()]
    number = group if group.isdigit() else next((entry[2] for entry in entries if len(entry) > 2 and entry[0] == group), "")
    return replace(account, group_id=int(number)) if account is not None and number.isdigit() else None


def _text_or_nothing(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return ""


def assume(account: procfs.Account) -> None:
    """Become this user. Where only uid 0 exists, a nested user namespace shows it under the account's number."""
    if account.user_id == 0:
        return
    if is_single_user():
        syscalls.unshare(syscalls.CLONE_NEWUSER)
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{account.user_id} 0 1"),
            ("gid_map", f"{account.group_id} 0 1"),
        ):
            Path(f"/proc/self/{name}").write_text(text, encoding="utf-8")
        return
    group = _text_or_nothing("/etc/group")
    os.setgroups([account.group_id, *procfs.supplementary_groups(group, account.name)])
    os.setgid(account.group_id)
    os.setuid(account.user_id)


def echo_socket(init: int) -> socket.socket:
    """A non-blocking raw ICMP socket in a node's network."""
    with network_of(init):
        return socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMP)


def stream_socket(init: int) -> socket.socket:
    """A non-blocking TCP socket in a node's network."""
    with network_of(init):
        return socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)


def widen(made: socket.socket, size_bytes: int) -> None:
    """Room for so much in both directions; without root no more than this machine's rmem_max and wmem_max."""
    for force, plain in ((_SO_RCVBUFFORCE, socket.SO_RCVBUF), (_SO_SNDBUFFORCE, socket.SO_SNDBUF)):
        try:
            made.setsockopt(socket.SOL_SOCKET, force, size_bytes)
        except PermissionError:
            made.setsockopt(socket.SOL_SOCKET, plain, size_bytes)


def packet_socket(init: int, device: str, protocol: int) -> socket.socket:
    """A non-blocking raw Ethernet socket on a node's interface."""
    with network_of(init):
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(protocol))
        try:
            made.bind((device, protocol))
        except OSError:
            made.close()
            raise
    return made
