"""Every query, as one type that survives JSON."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, TypeAdapter

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
from chaoskit.model.facts.resources import BeyondQuery, KillsQuery, LimitQuery, LoadQuery, QuotaQuery, RoomQuery
from chaoskit.model.facts.shaping import LinkQuery
from chaoskit.model.facts.topology import ConnectionsQuery, FlapsQuery, ForwardingQuery, NameQuery, NeighbourQuery, OwnersQuery

Query = Annotated[
    ActivityQuery
    | ConnectionsQuery
    | FlapsQuery
    | ForwardingQuery
    | NameQuery
    | NeighbourQuery
    | OwnersQuery
    | PageQuery
    | ReachQuery
    | CarrierQuery
    | LinkQuery
    | DroppedQuery
    | NodeStateQuery
    | ProcessesQuery
    | ProcessStateQuery
    | ServiceQuery
    | ServiceEnabledQuery
    | PidFileQuery
    | ClockQuery
    | ExecQuery
    | FileQuery
    | VolumeQuery
    | LimitQuery
    | RoomQuery
    | QuotaQuery
    | BeyondQuery
    | LoadQuery
    | KillsQuery
    | VolumeSpeedQuery
    | DiskErrorsQuery
    | DiskFlushQuery,
    Field(discriminator="kind"),
]
QUERY: TypeAdapter[Query] = TypeAdapter(Query)
