"""Loading an experiment with the catalogues that its names are held to, and choosing what of it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from chaos.definition.experiment import Experiment
from chaos.definition.load import find, load
from chaos.errors import DefinitionError
from loadgen.config import ArmTraffic
from loadgen.configured import ArmRules, family_in_use
from loadgen.families import require_package
from loadgen.profiles import CATALOGUE as PROFILES
from loadgen.profiles import require_users

_PROFILES = {profile.name: profile for profile in PROFILES}


def loaded_from(
    experiment: str, variables: Mapping[str, str] | None = None
) -> tuple[Experiment, ArmRules]:
    """Load a file or a shipped experiment; also return what is known of its arms.

    Raises:
        DefinitionError: there is none, or it is wrong; every fault is a line of the message.
    """
    path = find(experiment)
    rules = ArmRules(path.parent)
    definition = load(path, variables, arms=rules, profiles=_PROFILES)
    for traffic in traffic_of(definition, rules):
        try:
            require_users(traffic)
        except DefinitionError as error:
            raise DefinitionError(f"{path}: workload: {error}") from error
    return definition, rules


def selected(
    definition: Experiment, rules: ArmRules, *, arms: list[str] | None, repeat: int | None
) -> Experiment:
    """Apply `--arm` and `--repeat` by validating the changed definition again.

    Raises:
        DefinitionError: it has no such arm, nothing is left to judge by, or an arm that is left needs a
            package that is not installed.
    """
    fields = definition.resolved()
    if arms:
        _keep(fields, arms)
    if repeat:
        for step in fields["method"]:
            step["repeat"] = repeat
    try:
        chosen = Experiment.model_validate(fields, context={"profiles": _PROFILES})
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(str(part) for part in first["loc"])
        raise DefinitionError(f"what --arm and --repeat leave: {at}: {first['msg']}") from error
    for traffic in traffic_of(chosen, rules):
        require_package(traffic.arm, family_in_use(traffic))
    return chosen


def traffic_of(definition: Experiment, rules: ArmRules) -> tuple[ArmTraffic, ...]:
    """Return what each arm of an experiment sends."""
    workload = definition.workload
    return tuple(
        ArmTraffic(
            arm=entry.name,
            client=rules.client_of(entry.client()),
            **workload.rates(entry),
            shape=workload.model_dump(mode="json")["shape"],
            users=workload.users,
            think_time_s=workload.think_time_s,
            queue_max=workload.queue_max,
        )
        for entry in workload.arms
    )


def _keep(fields: dict[str, Any], arms: list[str]) -> None:
    entries = fields["workload"]["arms"]
    kept = [entry for entry in entries if entry["name"] in arms]
    missing = set(arms) - {entry["name"] for entry in kept}
    if missing:
        has = ", ".join(entry["name"] for entry in entries)
        raise DefinitionError(f"--arm {', '.join(sorted(missing))}: this experiment has {has}")
    fields["workload"]["arms"] = kept
    for part in ("objectives", "steady_state"):
        fields[part] = [
            entry for entry in fields[part] if entry.get("arm") in {None, "probe", *arms}
        ]
    if not fields["objectives"]:
        raise DefinitionError(
            f"--arm {', '.join(arms)}: no objective is left to judge by; keep an arm that has one"
        )
