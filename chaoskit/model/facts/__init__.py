"""Queries: what may be asked of a lab without changing it, and the readings that come back. All survive JSON."""

from __future__ import annotations

from chaoskit.model.facts.activities import ActivityQuery
from chaoskit.model.facts.clocks import ClockQuery
from chaoskit.model.facts.disks import DiskErrorsQuery, DiskFlushQuery, FileQuery, VolumeQuery, VolumeSpeedQuery
from chaoskit.model.facts.network import CarrierQuery, DroppedQuery, PageQuery, ReachQuery
from chaoskit.model.facts.nodes import (
    ExecQuery,
    NodeStateQuery,
    PidFileQuery,
    ProcessesQuery,
    ProcessStateQuery,
    ServiceEnabledQuery,
    ServiceQuery,
)
from chaoskit.model.facts.queries import QUERY, Query
from chaoskit.model.facts.reading import Check, ProcessInfo, Reading
from chaoskit.model.facts.resources import BeyondQuery, KillsQuery, LimitQuery, LoadQuery, QuotaQuery, RoomQuery
from chaoskit.model.facts.shaping import LinkQuery
from chaoskit.model.facts.topology import (
    Connection,
    ConnectionsQuery,
    FlapsQuery,
    ForwardingQuery,
    NameQuery,
    NeighbourQuery,
    OwnersQuery,
)

__all__ = [
    "QUERY",
    "ActivityQuery",
    "BeyondQuery",
    "CarrierQuery",
    "Check",
    "ClockQuery",
    "Connection",
    "ConnectionsQuery",
    "DiskErrorsQuery",
    "DiskFlushQuery",
    "DroppedQuery",
    "ExecQuery",
    "FileQuery",
    "FlapsQuery",
    "ForwardingQuery",
    "KillsQuery",
    "LimitQuery",
    "LinkQuery",
    "LoadQuery",
    "NameQuery",
    "NeighbourQuery",
    "NodeStateQuery",
    "OwnersQuery",
    "PageQuery",
    "PidFileQuery",
    "ProcessInfo",
    "ProcessStateQuery",
    "ProcessesQuery",
    "Query",
    "QuotaQuery",
    "ReachQuery",
    "Reading",
    "RoomQuery",
    "ServiceEnabledQuery",
    "ServiceQuery",
    "VolumeQuery",
    "VolumeSpeedQuery",
]
