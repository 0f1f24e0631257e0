"""A lab: what a person would draw on a whiteboard, as read from lab.yaml."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from chaoskit.model.blast_radius import BlastRadius
from chaoskit.model.check import Check
from chaoskit.model.condition import LogLine
from chaoskit.model.container import ContainerSpec, RunningSpec
from chaoskit.model.drain import DrainPlan, DrainSpec
from chaoskit.model.names import Names
from chaoskit.model.record import OpenRecord, Record
from chaoskit.model.units import Duration, Size

Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,30}$")]


class NetworkSpec(Record):
    """A switched network. Addresses come from `subnet`; without one, from 198.18.0.0/15 (RFC 2544)."""

    subnet: str | None = None
    """In CIDR form, such as 198.18.5.0/24; chosen where left out."""


class VolumeSpec(Record):
    """A private data volume of a node. It survives power loss as far as data was flushed."""

    size: Size = Size(512 * 1024**2)
    """How much it holds."""
    mount: str | None = None
    """Where it is seen in the node; `/<volume name>` when left out."""
    owner: str = "root"
    """The user who owns its root."""
    kind: Literal["ext4-loop", "programmable"] = "ext4-loop"
    """Both are ext4. Under `programmable` lies a disk whose every operation can be made slow, wrong or a lie; it is slower by
    itself."""


class NodeGroup(Record):
    """One node, or `count` equal ones named <group>1, <group>2 ..."""

    count: Annotated[int, Field(ge=1, le=64)] | None = None
    """So many equal nodes; left out: one node that bears the group's name."""
    networks: Names = ()
    """Empty: every network of the lab."""
    volumes: dict[Identifier, VolumeSpec] = {}
    """Name -> private data volume."""
    services: tuple[str, ...] = ()
    """Services of the lab that run on each of them."""
    image: str | None = None
    """On the Docker backend: the image of their containers, `debian:bookworm-slim` where neither this nor `build` is named. Nodes
    of the namespace backend see this machine's own programs."""
    build: str | None = None
    """On the Docker backend: a folder beside lab.yaml with a Dockerfile, from which the image is built. With `image` or `build`
    and without `services`, the node runs what its image starts by itself, as a service of the group's name."""
    container: ContainerSpec | None = None
    """On the Docker backend: how its container is made."""
    running: tuple[RunningSpec, ...] = ()
    """Containers that run already, one for each node; found by `containers:`, and not written by hand."""
    addresses: dict[Identifier, str] = {}
    """Network -> the node's address there; chosen where left out. Only of a group that is one node."""
    aliases: tuple[str, ...] = ()
    """Further names of each of them, for /etc/hosts. Several nodes may share one."""
    drain: DrainSpec | None = None
    """How each of them is drained, for `node.drain`; left out: as the lab says."""
    forwards: bool = False
    """A router: it forwards between its networks."""
    routes: dict[Identifier, str] = {}
    """Network that the node is not on -> the node that forwards to it, which must be on one of the node's own networks."""


class FileSpec(Record):
    """A file put into a node before a service starts."""

    template: str | None = None
    """Path beside lab.yaml; rendered with Jinja2 (sandboxed)."""
    content: str | None = None
    """The text itself, rendered likewise."""
    mode: Annotated[str, Field(pattern=r"^0?[0-7]{3}$")] = "0644"
    """Permission bits, in octal."""
    owner: str | None = None
    """None: the service's user."""


class ServiceSpec(Record):
    """A program that runs in the foreground on the nodes that list it."""

    command: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Program and arguments, each a template; no shell. Left out: what the node's image starts by itself, as the image says it:
    entrypoint, arguments, user, directory and health check; on the Docker backend only."""
    arguments: tuple[str, ...] | None = None
    """Without `command`: for the image's entrypoint, instead of the image's own. Each a template."""
    user: str | None = None
    """Who runs it in the node. Left out: root, or without `command` whom the image names, as with an empty text."""
    files: dict[str, FileSpec | str] = {}
    """Path in the node -> what to put there; a bare string names a template beside lab.yaml."""
    env: dict[str, str] = {}
    """Environment variables beyond PATH, HOME and the like."""
    directory: str | None = None
    """Working directory. Left out: `/`, or without `command` what the image says, as with an empty text."""
    needs: Names = ()
    """Services started before this one, lab-wide."""
    ready: Check | None = None
    """When it counts as started; what needs it waits for that. Left out without `command`: the image's health check."""
    health: bool = True
    """False: the image's health check is not used."""
    restart: Literal["never", "on-boot", "on-failure", "always"] = "on-boot"
    """`on-boot`: started when its node boots; `on-failure`: also when it exits with another code than 0; `always`: also when it
    exits."""


class EndpointSpec(OpenRecord):
    """The way clients take into the cluster. Further keys belong to the client type that speaks this kind."""

    kind: str
    """The client type that speaks it."""
    hosts: Names = ()
    """Node or group names, in the order a client would list them. With `address`: who stands behind it."""
    address: str | None = None
    """The one address that clients know, where it is no node's own: a virtual address in a network of the lab. A template."""
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """The port on each host."""


class ReadySpec(Record):
    """When the lab may be used: so many nodes hold each role, and every service is ready."""

    roles: dict[str, int] = {}
    """Role -> how many nodes hold it, exactly."""
    within: Duration = Duration(60.0)
    """After which the lab counts as not to be had."""


class ImageSpec(Record):
    """Files beyond the host's own: Debian packages in a cached image that leaves the host clean."""

    apt: tuple[str, ...] = ()
    """Names of Debian packages; needs root."""


class RequiresSpec(Record):
    """What must be there before the lab can start; checked when planning."""

    python: tuple[str, ...] = ()
    """Importable module names."""
    commands: tuple[str, ...] = ()
    """Programs that must be on this machine's PATH."""
    hint: str = ""
    """How to get them, such as "pip install 'chaoskit[patroni]'"."""


class Prediction(Record):
    """What failover should cost with these settings: expressions over `settings`, low and high."""

    rto: tuple[str, str] | None = None
    """Low and high, such as `[ttl - loop_wait, ttl + loop_wait + 2s]`."""
    detector_period: str | None = None
    """How often failures are looked for, such as `loop_wait`: trials inject at random places within it."""


LogMark = Literal["detected", "elected", "promoted"]


class LabSpec(Record):
    """lab.yaml with its variant and settings applied. Templates are not yet rendered."""

    name: Identifier
    """Names the lab in reports and in `chaoskit lab status`."""
    description: str = ""
    """What it is, in one line."""
    networks: dict[Identifier, NetworkSpec] = Field(default_factory=lambda: {"lan": NetworkSpec()})
    """Name -> switched network; one called `lan` where left out."""
    nodes: dict[Identifier, NodeGroup] = Field(min_length=1)
    """Group -> nodes."""
    services: dict[Identifier, ServiceSpec] = {}
    """Name -> program."""
    roles: dict[Identifier, Check] = {}
    """Role -> how a node is asked whether it holds it."""
    leader: str | None = None
    """The role whose holder is the leader, for the leader lanes, flaps and split-brain figures."""
    marks: dict[LogMark, tuple[LogLine, ...]] = {}
    """Phase of a failover -> the log lines that mark it: `detected` (the cluster noticed), `elected` (who leads is decided),
    `promoted` (it takes writes). The first one after a fault, on any node, counts."""
    endpoints: dict[Identifier, EndpointSpec] = {}
    """Name -> way in."""
    addresses: dict[Identifier, str] = {}
    """Name -> an address that moves between nodes, a template; it is watched on the wire in every experiment."""
    clients: str | None = None
    """The node or group that clients run in."""
    backend: str | None = None
    """Which kind of lab it is where `--backend` names none."""
    drain: DrainSpec | None = None
    """How a node is drained whose group does not say it and that runs services, for `node.drain`."""
    ready: ReadySpec = ReadySpec()
    """When the lab may be used."""
    blast_radius: BlastRadius = Field(default=BlastRadius(), alias="blast-radius")
    """What may be broken here at once at most, and what never, whatever an experiment asks."""
    settings: dict[str, Any] = {}
    """Names for the templates and for `predict`; an experiment or `--set lab.settings.NAME=VALUE` changes them."""
    predict: Prediction = Prediction()
    """What failover should cost with these settings; shown beside the measured figure."""
    image: ImageSpec = ImageSpec()
    """Programs that the host lacks."""
    requires: RequiresSpec = RequiresSpec()
    """What must be here before the lab can start."""
    variants: dict[Identifier, dict[str, Any]] = {}
    """Name -> what to lay over this file."""

    def node_names(self) -> tuple[str, ...]:
        """Every node, in the order of the file."""
        return tuple(n for group in self.nodes for n in self.group_members(group))

    def group_members(self, group: str) -> tuple[str, ...]:
        """The nodes of a group; KeyError where there is none."""
        count = self.nodes[group].count
        return (group,) if count is None else tuple(f"{group}{i}" for i in range(1, count + 1))

    def group_of(self, node: str) -> str:
        """The group a node belongs to; KeyError where there is none."""
        for group in self.nodes:
            if node in self.group_members(group):
                return group
        raise KeyError(node)

    def resolve_names(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Node names for a mixture of node and group names; KeyError with the first that is neither."""
        found: list[str] = []
        for name in names:
            found.extend(self.group_members(name) if name in self.nodes else (self._node(name),))
        return tuple(dict.fromkeys(found))

    def _node(self, name: str) -> str:
        if name not in self.node_names():
            raise KeyError(name)
        return name

    def networks_of(self, node: str) -> tuple[str, ...]:
        """The networks a node is on, in the order of its interfaces eth0, eth1 ..."""
        return self.nodes[self.group_of(node)].networks or tuple(self.networks)

    def running_of(self, node: str) -> RunningSpec | None:
        """The container that the node is, where it is one that runs already."""
        group = self.nodes[self.group_of(node)]
        return group.running[self.group_members(self.group_of(node)).index(node)] if group.running else None

    def machines(self) -> tuple[str, ...]:
        """Nodes that are no containers, but the network of the machine where the engine runs."""
        running = {node: self.running_of(node) for node in self.node_names()}
        return tuple(node for node, spec in running.items() if spec is not None and not spec.id)

    def may_hold_roles(self, node: str) -> bool:
        """A node without services holds none; what runs in a container of others is not known, so that each of them may."""
        running = self.running_of(node)
        return bool(running.id if running is not None else self.services_of(node))

    def drain_of(self, group: str) -> DrainSpec | None:
        """How the nodes of a group are drained; None where the lab does not say."""
        own = self.nodes[group]
        return own.drain or (self.drain if own.services else None)

    def services_of(self, node: str) -> tuple[str, ...]:
        return self.nodes[self.group_of(node)].services


class NodePlan(Record):
    """One node, ready to be built: addresses fixed, every template rendered."""

    name: str
    group: str
    interfaces: tuple[InterfacePlan, ...]
    volumes: dict[str, VolumeSpec]
    services: tuple[ServicePlan, ...]
    """In the order in which they start."""
    drain: DrainPlan | None = None
    image: str | None = None
    """The image of its container, where it is one."""
    build: str | None = None
    """The folder from which that image is built."""
    container: ContainerSpec | None = None
    running: RunningSpec | None = None
    aliases: tuple[str, ...] = ()
    forwards: bool = False
    """Its kernel forwards between its interfaces."""
    routes: tuple[RoutePlan, ...] = ()


class RoutePlan(Record):
    """What is for a subnet goes to a router."""

    subnet: str
    via: str
    """The router's address on a network of the node's."""


class InterfacePlan(Record):
    """eth<i> of a node."""

    device: str
    network: str
    address: str
    """IPv4 without prefix length."""
    prefix: int
    mac: str
    port: str = ""
    """The other end of its cable, where that is not on a switch of chaoskit's own."""


class FilePlan(Record):
    path: str
    content: str
    mode: int
    owner: str


class ServicePlan(Record):
    """A service on one node, rendered."""

    name: str
    argv: tuple[str, ...]
    """Empty: what the node's image starts by itself."""
    user: str
    """Empty: whom the image names."""
    env: dict[str, str]
    directory: str
    """Empty: what the image says."""
    files: tuple[FilePlan, ...]
    needs: tuple[str, ...]
    ready: Check | None
    restart: Literal["never", "on-boot", "on-failure", "always"]
    arguments: tuple[str, ...] | None = None
    """For the image's entrypoint, instead of the image's own."""
    health: bool = True
    """The image's health check is its `ready`, where it has no other."""


class LabPlan(Record):
    """A whole lab, ready for a backend: no templates, no choices left."""

    name: str
    nodes: tuple[NodePlan, ...]
    networks: dict[str, str]
    """Network -> subnet in CIDR form."""
    roles: dict[str, dict[str, Check]]
    """Role -> node -> how to ask it, rendered."""
    ready: ReadySpec
    image: ImageSpec
    clients: tuple[str, ...]
    """Nodes that clients run in."""
    virtual_addresses: dict[str, str] = {}
    """Endpoint -> the address that clients know, for endpoints whose address is no node's own."""
    floating: dict[str, str] = {}
    """Name -> address that moves between nodes."""

    def node(self, name: str) -> NodePlan:
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    def address(self, node: str, network: str | None = None) -> str:
        """The node's address on a network, or its first."""
        for interface in self.node(node).interfaces:
            if network in (None, interface.network):
                return interface.address
        raise KeyError(f"{node} is not on {network}")

    def addresses(self) -> dict[str, str]:
        """Node -> first address."""
        return {n.name: n.interfaces[0].address for n in self.nodes if n.interfaces}


NodePlan.model_rebuild()
LabPlan.model_rebuild()
