"""The reply to GetComponentStates, role by role as Go 2.2.16 gives it."""

from __future__ import annotations

from typing import Final

from milvus_coord.pb.milvus.proto.common import StateCode
from milvus_coord.pb.milvus.proto.milvus import ComponentInfo, ComponentStates
from milvus_coord.wire.status import ok

#: What a coordinator calls itself here where that is not its name.
_ROLE_STRINGS: Final = {"querycoord": "", "indexcoord": "IndexCoord"}


def component_states(role: str, node_id: int, state: int) -> ComponentStates:
    """The state of this coordinator; rootcoord repeats it as its only sub-component.

    `node_id` is the server id, -1 before the first registration; `state` is a StateCode.
    """
    info = ComponentInfo(
        node_id=node_id, role=_ROLE_STRINGS.get(role, role), state_code=StateCode.try_value(state)
    )
    return ComponentStates(
        state=info,
        subcomponent_states=[info] if role == "rootcoord" else [],
        status=ok(),
    )
