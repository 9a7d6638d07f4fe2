"""What a capacity means for PostgreSQL's settings, as AWS documents it.

`max_connections` and the settings for vacuum, maintenance and the planner follow the *maximum*
capacity, as on Aurora, and are really set; those that need a restart wait for one. `shared_buffers`
follows the *present* capacity on Aurora and changes while the server runs, which PostgreSQL cannot:
so the server keeps its own small one, `SHOW` tells the truth about it, and Aurora's modelled value is
told by the control address alone.

AWS's examples of `max_connections` (1 ACU: 189, 4: 823, 8: 1669, 16: 3360, then 5000) lie on one line
of the maximum capacity, with `LEAST({DBInstanceClassMemory/9531392},5000)` as the formula. The memory
which that implies goes into the other formulas of the default parameter group. For `shared_buffers`,
AWS's examples are 16384 pages of 8 kB at 0.5 to 2 ACU, 1425408 at 8 and 2211840 at 12.5: a line of two
thirds of 2 GiB an ACU through the last two.
Source: the user guide's "Performance and scaling for Aurora Serverless v2" and "Aurora PostgreSQL
parameters".
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from chaos.testcluster.records import ServerlessBounds

SERVERLESS_CLASS = "db.serverless"
STATIC = frozenset({"max_connections", "autovacuum_max_workers"})
"""Settings of this module that take effect with a restart."""

_CONNECTION_BYTES = 9_531_392
_CONNECTIONS_PER_ACU = 211.4
_CONNECTIONS_OFFSET = -22.4
_CONNECTIONS_MAX = 5000
_CONNECTIONS_MAX_SMALL = 2000
_SMALL_MIN_ACU = 0.5
_BUFFER_PAGES_MIN = 16_384
_BUFFERS_SMALL_ACU = 2.0
_BUFFER_PAGES_PER_ACU = 2 * 2**30 / 8192 * 2 / 3
_BUFFER_PAGES_OFFSET = 1_425_408 - 8 * _BUFFER_PAGES_PER_ACU

# GiB of memory of a class's `large`, by its family's first letters and digits.
_LARGE_GIB = {"r": 16.0, "x": 32.0, "t": 8.0, "m": 8.0}
_SIZES = {"micro": 0.125, "small": 0.25, "medium": 0.5, "large": 1.0, "xlarge": 2.0}


def class_acu(instance_class: str) -> float | None:
    """Return the capacity with a provisioned class's memory (2 GiB an ACU), None if not known."""
    match = re.fullmatch(r"db\.([a-z])[a-z0-9-]*\.(\d*)([a-z]+)", instance_class)
    if match is None or match[1] not in _LARGE_GIB or match[3] not in _SIZES:
        return None
    factor = int(match[2]) if match[2] else 1
    return _LARGE_GIB[match[1]] * _SIZES[match[3]] * factor / 2


def engine_settings(bounds: ServerlessBounds | None, instance_class: str) -> Mapping[str, str]:
    """Return the PostgreSQL settings of an instance; empty for a class that is not known."""
    serverless = instance_class == SERVERLESS_CLASS
    acu = class_acu(instance_class) if not serverless else bounds.max_acu if bounds else None
    if acu is None:
        return {}
    small = serverless and bounds is not None and bounds.min_acu <= _SMALL_MIN_ACU
    line = round(_CONNECTIONS_PER_ACU * acu + _CONNECTIONS_OFFSET)
    connections = min(line, _CONNECTIONS_MAX_SMALL if small else _CONNECTIONS_MAX)
    memory = line * _CONNECTION_BYTES
    return {
        "max_connections": str(max(connections, 20)),
        "autovacuum_max_workers": str(max(memory // 64_371_566_592, 3)),
        "autovacuum_vacuum_cost_limit": str(
            max(int(math.log2(max(memory / 21_474_836_480, 1)) * 600), 200)
        ),
        "autovacuum_work_mem": f"{max(memory // 32_768, 65_536)}kB",
        "effective_cache_size": str(max(memory // 12_038 - 50_003, _BUFFER_PAGES_MIN)),
        "maintenance_work_mem": f"{max(memory // 63_963_136 * 1024, 65_536)}kB",
    }


def modelled_shared_buffers(capacity_acu: float) -> int:
    """Return Aurora's `shared_buffers` at a present capacity, in pages of 8 kB; a model."""
    if capacity_acu <= _BUFFERS_SMALL_ACU:
        return _BUFFER_PAGES_MIN
    return round(_BUFFER_PAGES_PER_ACU * capacity_acu + _BUFFER_PAGES_OFFSET)


def connection_weight_acu() -> float:
    """Return the capacity that one connection takes up in the model: the documented ratio's."""
    return 1 / _CONNECTIONS_PER_ACU
