"""Whether the workload has the traffic that objectives, steady state and stop conditions look at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chaos.checks.constant_sums import ConstantSums
from chaos.checks.of_reads import ReadCheck
from chaos.definition.workload import Profile, Workload
from chaos.safety.stops import OfStream, every

_PROBE = "probe"
_CONNECT = "connect"
"""Every client connects, whatever it asks."""


def require_traffic(part: Any, workload: Workload, profiles: Mapping[str, Profile] | None) -> None:
    """Hold what a part looks at (`arm`, `endpoint`, `operation`) to the arms and their profiles.

    `profiles` None: what arms ask is not known, and only their names are looked at.

    Raises:
        ValueError: there is no such arm, or it has no such stream; says what there is.
    """
    conditions = [c for c in every((part,)) if isinstance(c, OfStream)]
    for one in conditions or [part]:
        _require_stream(one, workload, profiles)
    if isinstance(part, ConstantSums) and profiles is not None and part.arm != _PROBE:
        _require_accounts(part, workload, profiles)


def _require_stream(part: Any, workload: Workload, profiles: Mapping[str, Profile] | None) -> None:
    name = getattr(part, "arm", None)
    if name in {None, _PROBE}:
        return
    arm = next((arm for arm in workload.arms if arm.name == name), None)
    if arm is None:
        has = ", ".join(sorted(arm.name for arm in workload.arms))
        raise ValueError(f"names arm {name!r}; this workload has {has}")
    operation = "read" if isinstance(part, ReadCheck) else getattr(part, "operation", None)
    if profiles is None or operation in {None, _CONNECT}:
        return
    profile = arm.profile or workload.profile
    endpoint = getattr(part, "endpoint", None)
    if not any(
        stream == f"{endpoint or stream.split()[0]} {operation}"
        for stream in profiles[profile].stream_names
    ):
        asks = f"{endpoint} {operation}" if endpoint else operation
        raise ValueError(
            f"arm {name} never asks for a {asks}; its profile {profile} has "
            f"{', '.join(profiles[profile].stream_names)}"
        )


def _require_accounts(
    part: ConstantSums, workload: Workload, profiles: Mapping[str, Profile]
) -> None:
    asked = [arm for arm in workload.arms if part.arm in {None, arm.name}]
    if not any(profiles[arm.profile or workload.profile].moves_money for arm in asked):
        having = ", ".join(name for name, profile in profiles.items() if profile.moves_money)
        who = f"arm {part.arm}" if part.arm else "no arm of this workload"
        raise ValueError(
            f"{who} has {'no ' if part.arm else ''}accounts whose sums {part.check} could judge; "
            f"give one the profile {having}"
        )
