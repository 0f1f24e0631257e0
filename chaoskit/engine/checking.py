"""Everything in an experiment that names something: is it there, and may it stand there? Finds all problems, starts nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel, ValidationError

from chaoskit.engine.addressing import is_v6, network_of
from chaoskit.engine.checking_order import OrderChecker
from chaoskit.engine.checking_radius import radius_problems
from chaoskit.engine.checking_trials import over_trials_problems
from chaoskit.engine.document import Document, Keys
from chaoskit.engine.explaining import problems_of, written_names
from chaoskit.engine.placing import network_subnets
from chaoskit.engine.plugged import OWN
from chaoskit.engine.registry import Registry
from chaoskit.engine.rendering import client_nodes
from chaoskit.engine.spelling import nearest, unknown
from chaoskit.model.errors import Problem
from chaoskit.model.experiment import NEWEST_OPERATION, Action, ClientSpec, Experiment, Selector, WatcherSpec
from chaoskit.model.lab import EndpointSpec, LabSpec
from chaoskit.ports.candidates import candidate_nodes
from chaoskit.ports.client import Intended, objections
from chaoskit.ports.fault import Fault
from chaoskit.ports.measure import unfit_clients
from chaoskit.ports.process_match import ProcessMatch

FRESH_DEADLINE_LIMIT_S = 1.0
"""The kernel first retries a lost SYN after 1 s: a longer deadline turns an outage into one slow success."""


@dataclass
class Checker:
    """The references of one experiment against its lab and what is installed."""

    experiment: Experiment
    document: Document
    registry: Registry
    lab: LabSpec | None
    """None where the lab itself could not be read: then only the rest is checked."""
    indexes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """Section -> the place in the file of each action that is left."""
    faults: dict[Keys, Fault] = field(default_factory=dict)
    """Place of the action -> its fault, as far as valid."""

    def problems(self) -> Iterator[Problem]:
        """Every problem; fills `faults`."""
        for name, client in self.experiment.clients.items():
            yield from self._client(name, client)
        yield from self._steady_state()
        yield from self._watched()
        for i, action in self._actions("method"):
            yield from self._action(("method", i), action)
        yield from self._in_time()
        yield from self._objectives()
        yield from over_trials_problems(self.experiment, self.document, self._client_names())

    # -- names that are there -------------------------------------------------------------------------------------------

    def _client_names(self) -> tuple[str, ...]:
        """As written: a client that is itself wrong still has its name."""
        written = self.document.data.get("clients")
        return tuple(k for k in written if isinstance(k, str)) if isinstance(written, dict) else ()

    def _actions(self, section: str) -> Iterator[tuple[int, Action]]:
        """Actions with their index in the file, which is not that in the experiment where an entry was left out as invalid."""
        kept: tuple[Action, ...] = getattr(self.experiment, section)
        yield from zip(self.indexes.get(section, range(len(kept))), kept, strict=False)

    # -- clients --------------------------------------------------------------------------------------------------------

    def _client(self, name: str, client: ClientSpec) -> Iterator[Problem]:
        keys: Keys = ("clients", name)
        types = self.registry.names("clients")
        if client.type not in types:
            yield unknown(self.document, (*keys, "type"), "client type", client.type, types)
        else:
            yield from self._client_of_type(keys, client, self.registry.load("clients", client.type))
        yield from self._client_timing(keys, client)
        yield from self._client_objections(keys, client)
        if self.lab is not None:
            yield from self._client_place(keys, client, self.lab)

    def _client_of_type(self, keys: Keys, client: ClientSpec, kind: Any) -> Iterator[Problem]:
        if client.operation not in kind.OPERATIONS:
            where = (*keys, "operation")
            yield unknown(self.document, where, f"operation of {client.type}", client.operation, kind.OPERATIONS)
        if client.client_class not in kind.CLASSES:
            message = f"the {client.type} client has no class {client.client_class!r}"
            where = (*keys, "class") if self.document.lookup((*keys, "class"))[0] else keys
            yield self.document.problem(where, message, value=client.client_class, allowed=tuple(kind.CLASSES))
        yield from self._extras(kind.Options, keys, dict(client.model_extra or {}), written_names(ClientSpec))
        if client.operation == NEWEST_OPERATION:
            yield from self._ledger_read(keys, client)

    def _ledger_read(self, keys: Keys, client: ClientSpec) -> Iterator[Problem]:
        """Whose ledger `newest` reads: one that the same kind of client writes, from one place (each vantage has its own)."""
        kept = tuple(
            name
            for name, other in self.experiment.clients.items()
            if other.type == client.type
            and len(other.places) < 2
            and other.operation in self.registry.load("clients", other.type).LEDGER
        )
        named = (client.model_extra or {}).get("ledger")
        if not named:
            message = "newest reads the ledger of another client: say whose (ledger:)"
            yield self.document.problem(keys, message, of_key=True, value="", allowed=kept)
        elif named not in kept:
            yield unknown(self.document, (*keys, "ledger"), f"{client.type} client with a ledger", str(named), kept)

    def _client_objections(self, keys: Keys, client: ClientSpec) -> Iterator[Problem]:
        """What a client type says to keys that are valid each by itself. Nothing where the endpoint is not known."""
        endpoint = self.lab.endpoints.get(client.endpoint or "") if self.lab is not None else None
        if (
            self.lab is None
            or client.type not in self.registry.names("clients")
            or (client.endpoint is not None and endpoint is None)
        ):
            return
        hosts = 1 if endpoint is None or endpoint.address is not None else len(self.lab.resolve_names(endpoint.hosts))
        speaks = endpoint is not None and endpoint.kind == client.type
        intended = Intended(
            operation=client.operation,
            client_class=client.client_class,
            options=dict(client.model_extra or {}),
            endpoint=dict(endpoint.model_extra or {}) if endpoint is not None and speaks else {},
            hosts=hosts,
        )
        for words in objections(self.registry.load("clients", client.type), intended):
            yield self.document.problem(keys, words, of_key=True)

    def _extras(self, model: type[BaseModel], keys: Keys, extra: dict[str, Any], common: tuple[str, ...]) -> Iterator[Problem]:
        """Keys beyond the common ones, against the record of whoever owns them."""
        try:
            model.model_validate(extra)
        except ValidationError as error:
            for problem in problems_of(error, model, self.document, keys, extra):
                if problem.message != "unknown key":
                    yield problem
                    continue
                allowed = (*common, *written_names(model))
                yield replace(problem, allowed=allowed, nearest=nearest(problem.value, allowed))

    def _client_timing(self, keys: Keys, client: ClientSpec) -> Iterator[Problem]:
        deadline = float(client.deadline)
        if deadline <= 0:
            yield self.document.problem((*keys, "deadline"), "a deadline is more than 0, such as 500ms")
        elif client.client_class != "pooled" and client.policy is None and deadline >= FRESH_DEADLINE_LIMIT_S:
            message = (
                f"a {client.client_class} client's deadline must stay below 1s: the kernel repeats a lost SYN after 1 s, so that "
                "a longer deadline turns an outage into one slow success and hides it; use 500ms, or class: pooled"
            )
            yield self.document.problem((*keys, "deadline"), message)
        if client.slo is not None and not 0 < float(client.slo) <= float(client.request_deadline):
            most = client.request_deadline
            yield self.document.problem((*keys, "slo"), f"an slo is more than 0 and at most the deadline ({most})")
        waiting = float(client.rate) * float(client.request_deadline)
        if waiting > client.in_flight:
            times, what = ("deadline", "attempts") if client.policy is None else ("the policy's patience", "requests")
            message = (
                f"while the service is down, rate x {times} = {waiting:.0f} {what} are in flight, and in_flight allows "
                f"{client.in_flight}: the rest would not be sent, and the outage not be measured; raise in_flight"
            )
            where = (*keys, "in_flight") if self.document.lookup((*keys, "in_flight"))[0] else (*keys, "rate")
            yield self.document.problem(where, message)

    def _client_place(self, keys: Keys, client: ClientSpec, lab: LabSpec) -> Iterator[Problem]:
        nodes = lab.node_names()
        where = (*keys, "from") if self.document.lookup((*keys, "from"))[0] else (*keys, "node")
        if not client.places and not client_nodes(lab):
            message = "the lab has no client node, so say where this client runs (from:)"
            yield self.document.problem(keys, message, of_key=True, value="", allowed=nodes)
        if client.policy is not None and len(client.places) > 1:
            yield self.document.problem(where, "a client with a policy asks from one place; write one client for each")
        for place in dict.fromkeys(client.places):
            if place not in nodes:
                yield unknown(self.document, where, "node", place, nodes)
            elif client.places.count(place) > 1:
                yield self.document.problem(where, "a vantage counts once", value=place)
        if client.client_class == "direct":
            if client.target is None:
                message = "a client of class direct names the node it asks (target:)"
                yield self.document.problem(keys, message, of_key=True, value="", allowed=nodes)
            elif client.target not in nodes:
                yield unknown(self.document, (*keys, "target"), "node", client.target, nodes)
        elif client.target is not None:
            yield self.document.problem((*keys, "target"), "only a client of class direct has a target; others use an endpoint")
        yield from self._client_endpoint(keys, client, lab)

    def _client_endpoint(self, keys: Keys, client: ClientSpec, lab: LabSpec) -> Iterator[Problem]:
        fitting = tuple(n for n, e in lab.endpoints.items() if self._speaks(client.type, e))
        if client.endpoint is None and client.client_class == "direct":
            return  # the node it names is enough
        if client.endpoint is None:
            if any(nearest(key, written_names(ClientSpec)) == "endpoint" for key in client.model_extra or {}):
                return  # it is there, misspelt: that is told
            message = (
                f"which endpoint of the lab does this client use (endpoint:)? {len(fitting)} of them are of kind {client.type}"
            )
            yield self.document.problem(keys, message, of_key=True, value="", allowed=fitting)
        elif client.endpoint not in lab.endpoints:
            yield unknown(self.document, (*keys, "endpoint"), "endpoint", client.endpoint, lab.endpoints)
        elif client.endpoint not in fitting and client.type in self.registry.names("clients"):
            kind = lab.endpoints[client.endpoint].kind
            message = f"a {client.type} client cannot use this endpoint, which is of kind {kind!r}"
            yield self.document.problem((*keys, "endpoint"), message, allowed=fitting)

    def _speaks(self, client_type: str, endpoint: EndpointSpec) -> bool:
        """Whether a client type can use an endpoint: its own kind, or any with a port where it asks nothing of endpoints."""
        if client_type == endpoint.kind:
            return True
        if client_type not in self.registry.names("clients"):
            return False
        options: type[BaseModel] = self.registry.load("clients", client_type).EndpointOptions
        return not options.model_fields and endpoint.port is not None

    # -- what is normal, and when to stop -------------------------------------------------------------------------------

    def _steady_state(self) -> Iterator[Problem]:
        steady = self.experiment.steady_state_hypothesis
        clients = self._client_names()
        for name in steady.clients:
            if name not in clients:
                yield unknown(self.document, ("steady-state-hypothesis", "clients", name), "client", name, clients, of_key=True)
        if self.lab is None:
            return
        for role, count in steady.roles.items():
            keys: Keys = ("steady-state-hypothesis", "roles", role)
            if role not in self.lab.roles:
                yield unknown(self.document, keys, "role", role, self.lab.roles, of_key=True)
            elif not 0 <= count <= len(self.lab.node_names()):
                yield self.document.problem(keys, f"the lab has {len(self.lab.node_names())} nodes")

    def _watchers(self) -> Iterator[Problem]:
        for name, spec in self.experiment.watch.watchers.items():
            keys: Keys = ("watch", "watchers", name)
            known = tuple(n for n in self.registry.names("watchers") if n not in OWN)
            if spec.type not in known:
                yield unknown(self.document, (*keys, "type"), "watcher", spec.type, known)
            else:
                options = self.registry.load("watchers", spec.type).Options
                yield from self._extras(options, keys, dict(spec.model_extra or {}), written_names(WatcherSpec))

    def _watched(self) -> Iterator[Problem]:
        yield from self._watchers()
        if self.lab is None:
            return
        subnets = {name: str(subnet) for name, subnet in network_subnets(self.lab).items()}
        for name, address in self.experiment.watch.addresses.items():
            keys: Keys = ("watch", "addresses", name)
            if is_v6(address):
                continue
            try:
                inside = network_of(address, subnets)
            except ValueError:
                message = f"{address!r} is not an IPv4 address, nor one of IPv6"
                yield self.document.problem(keys, message, value=address, allowed=tuple(subnets.values()))
                continue
            if inside is None:
                message = f"{address} lies in no network of the lab"
                yield self.document.problem(keys, message, value=address, allowed=tuple(subnets.values()))
            if name in self.lab.addresses:
                message = f"the lab names an address {name!r} already, which is watched anyway"
                yield self.document.problem(keys, message, of_key=True, value=name)

    def _objectives(self) -> Iterator[Problem]:
        known = self.registry.names("objectives")
        for name, limit in self.experiment.objectives.items():
            keys: Keys = ("objectives", name)
            if name not in known:
                yield unknown(self.document, keys, "objective", name, known, of_key=True)
                continue
            objective = self.registry.load("objectives", name)
            objective = objective() if isinstance(objective, type) else objective
            try:
                objective.check(limit, self._client_names())
            except ValueError as error:
                yield self.document.problem(keys, f"{error} (as in: {name}: {objective.example})")
                continue
            for client, why in unfit_clients(objective, limit, self.experiment.clients):
                yield self.document.problem((*keys, client), why, of_key=True)

    def _in_time(self) -> Iterator[Problem]:
        order = OrderChecker(self.document, self.lab, self._client_names(), self.registry.names("faults"))
        yield from order.order(list(self._actions("method")))
        yield from order.abort_when(self.experiment.abort_when)
        if self.lab is not None:
            yield from radius_problems(self.experiment.blast_radius, self.document, self.lab)
        if self.experiment.rollbacks:
            message = (
                "rollbacks are not carried out: every fault heals what it broke by itself, whatever happens, and nothing new is "
                "broken after an abort; what else must be put back belongs to `inject: run` as its `undo`, which is owed "
                "before its command runs, and done even when chaoskit is killed"
            )
            yield self.document.problem(("rollbacks",), message, of_key=True, value="")

    # -- the method -----------------------------------------------------------------------------------------------------

    def _action(self, keys: Keys, action: Action) -> Iterator[Problem]:
        names = self.registry.names("faults")
        if action.inject not in names:
            yield unknown(self.document, (*keys, "inject"), "fault", action.inject, names)
        else:
            yield from self._fault(keys, action, self.registry.load("faults", action.inject))
        written = self.document.lookup((*keys, "target"))[1]
        if action.target.is_empty() and isinstance(written, dict) and set(written) - set(written_names(Selector)):
            pass  # what was written there is wrong and was said to be
        elif action.target.is_empty():
            message = "say what the fault hits (target: with node, nodes, group, role, of, not_of or all: true)"
            where = (*keys, "target") if self.document.lookup((*keys, "target"))[0] else keys
            yield self.document.problem(where, message, value="", allowed=written_names(Selector))
        else:
            yield from self._selector((*keys, "target"), action.target)
        if action.period is not None and float(action.period) <= 0:
            yield self.document.problem((*keys, "for"), "must be more than 0")

    def _fault(self, keys: Keys, action: Action, kind: type[Fault]) -> Iterator[Problem]:
        where = (*keys, "with")
        try:
            fault = kind.model_validate(action.parameters)
        except ValidationError as error:
            yield from problems_of(error, kind, self.document, where, action.parameters)
            return
        self.faults[keys] = fault
        yield from self._references(where, fault)
        if self.lab is not None and not action.target.is_empty() and not list(self._selector(keys, action.target)):
            for message in fault.misfits(self.lab, candidate_nodes(action.target, self.lab)):
                yield self.document.problem((*keys, "inject"), message)

    def _references(self, keys: Keys, value: Any) -> Iterator[Problem]:
        """Selectors, networks and services inside a fault's own parameters."""
        if isinstance(value, Selector):
            yield from self._selector(keys, value)
        elif isinstance(value, ProcessMatch):
            if value.service is not None and self.lab is not None and value.service not in self.lab.services:
                yield unknown(self.document, (*keys, "service"), "service", value.service, self.lab.services)
        elif isinstance(value, BaseModel):
            for name in type(value).model_fields:
                inner = getattr(value, name)
                if name == "network" and isinstance(inner, str) and self.lab is not None and inner not in self.lab.networks:
                    yield unknown(self.document, (*keys, name), "network", inner, self.lab.networks)
                yield from self._references((*keys, name), inner)
        elif isinstance(value, (list, tuple)):
            for i, inner in enumerate(value):
                yield from self._references((*keys, i), inner)

    def _selector(self, keys: Keys, selector: Selector) -> Iterator[Problem]:
        """A selector that can never hit anything."""
        if self.lab is None:
            return
        problems = []
        nodes = self.lab.node_names()
        if selector.node is not None and selector.node not in nodes:
            problems.append(unknown(self.document, (*keys, "node"), "node", selector.node, (*nodes, *self.lab.nodes)))
        for i, node in enumerate(selector.nodes):
            if node not in nodes:
                where = (*keys, "nodes", i) if self.document.lookup((*keys, "nodes", i))[0] else (*keys, "nodes")
                problems.append(unknown(self.document, where, "node", node, nodes))
        if selector.group is not None and selector.group not in self.lab.nodes:
            problems.append(unknown(self.document, (*keys, "group"), "group", selector.group, self.lab.nodes))
        if selector.role is not None and selector.role not in self.lab.roles:
            problems.append(unknown(self.document, (*keys, "role"), "role", selector.role, self.lab.roles))
        yield from problems
        if not problems:
            matching = candidate_nodes(selector, self.lab)
            if not matching:
                yield self.document.problem(keys, "no node of the lab matches all of this", value=_said(selector), allowed=nodes)
            elif selector.count is not None and selector.count > len(matching):
                message = f"only {len(matching)} nodes match: {', '.join(matching)}"
                yield self.document.problem((*keys, "count"), message)


def _said(selector: Selector) -> str:
    return ", ".join(f"{k}: {v}" for k, v in selector.model_dump(exclude_defaults=True).items())
