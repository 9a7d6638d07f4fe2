"""Serverless v2 bounds: what AWS accepts, and how a partial change completes what is there.

Source: https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_ServerlessV2ScalingConfiguration.html
and the user guide's "Scaling to zero ACUs with automatic pause and resume".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chaos.model.serverless import can_pause
from chaos.testcluster.records import ApiError, ServerlessBounds

STEP_ACU = 0.5
CAPACITY_MAX_ACU = 256.0
PAUSE_AFTER_MIN_S = 300
PAUSE_AFTER_MAX_S = 86_400
PAUSE_AFTER_DEFAULT_S = 300

# The engine versions from which a minimum of 0 ACU is accepted: major -> minor.
_PAUSING_SINCE = {13: 15, 14: 12, 15: 7, 16: 3}


def validate(bounds: ServerlessBounds, *, engine_version: str = "") -> None:
    """Raise InvalidParameterValue or InvalidParameterCombination for bounds that AWS refuses.

    With an engine version, that has to be one that can pause if the minimum is 0.
    """
    for name, value in (("MinCapacity", bounds.min_acu), ("MaxCapacity", bounds.max_acu)):
        if value % STEP_ACU != 0:
            raise _refused(f"{name} {value:g} is not a multiple of {STEP_ACU:g} ACU.")
    if not 0 <= bounds.min_acu <= CAPACITY_MAX_ACU:
        raise _refused(
            f"MinCapacity {bounds.min_acu:g} is not between 0 and {CAPACITY_MAX_ACU:g} ACU."
        )
    if not 1 <= bounds.max_acu <= CAPACITY_MAX_ACU:
        raise _refused(
            f"MaxCapacity {bounds.max_acu:g} is not between 1 and {CAPACITY_MAX_ACU:g} ACU."
        )
    if bounds.min_acu > bounds.max_acu:
        raise _refused(
            f"MinCapacity {bounds.min_acu:g} is greater than MaxCapacity {bounds.max_acu:g}."
        )
    if bounds.min_acu == 0 and engine_version and not can_pause(engine_version):
        raise _refused(
            f"MinCapacity 0 is not supported by engine version {engine_version}; the smallest value "
            "is 0.5."
        )
    if bounds.pause_after_s is None:
        return
    if bounds.min_acu > 0:
        raise ApiError(
            "InvalidParameterCombination",
            "SecondsUntilAutoPause can be specified only if MinCapacity is 0.",
        )
    if not PAUSE_AFTER_MIN_S <= bounds.pause_after_s <= PAUSE_AFTER_MAX_S:
        raise _refused(
            f"SecondsUntilAutoPause {bounds.pause_after_s} is not between {PAUSE_AFTER_MIN_S} and "
            f"{PAUSE_AFTER_MAX_S} seconds."
        )


def pause_after_s(bounds: ServerlessBounds) -> int | None:
    """Return after how many idle seconds instances pause, None where they never do."""
    if bounds.min_acu > 0:
        return None
    return bounds.pause_after_s or PAUSE_AFTER_DEFAULT_S


def completed(
    before: ServerlessBounds | None, scaling: Mapping[str, Any], cluster: str
) -> ServerlessBounds:
    """Return the bounds that a `ServerlessV2ScalingConfiguration` asks for.

    What it does not name stays as it is; the idle time, though, is forgotten with a minimum above 0.

    Raises:
        ApiError: there are no bounds yet, and it does not name both.
    """
    if before is None and not {"MinCapacity", "MaxCapacity"} <= set(scaling):
        raise ApiError(
            "InvalidParameterCombination",
            f"DBCluster {cluster} has no Serverless v2 capacity yet; set both MinCapacity and "
            "MaxCapacity.",
        )
    min_acu = scaling.get("MinCapacity", before.min_acu if before else None)
    max_acu = scaling.get("MaxCapacity", before.max_acu if before else None)
    assert min_acu is not None
    assert max_acu is not None
    kept = before.pause_after_s if before and min_acu == 0 else None
    return ServerlessBounds(
        min_acu=float(min_acu),
        max_acu=float(max_acu),
        pause_after_s=scaling.get("SecondsUntilAutoPause", kept),
    )


def as_shown(bounds: ServerlessBounds | None) -> dict[str, float] | None:
    """Return the `ServerlessV2ScalingConfigurationInfo` of the API."""
    if bounds is None:
        return None
    shown: dict[str, float] = {"MinCapacity": bounds.min_acu, "MaxCapacity": bounds.max_acu}
    after_s = pause_after_s(bounds)
    return shown if after_s is None else {**shown, "SecondsUntilAutoPause": after_s}


def _refused(message: str) -> ApiError:
    return ApiError("InvalidParameterValue", message)
