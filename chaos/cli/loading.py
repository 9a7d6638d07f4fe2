"""Loading an experiment with the catalogues that its names are held to."""

from __future__ import annotations

from collections.abc import Mapping

from chaos.definition.experiment import Experiment
from chaos.definition.load import find, load
from loadgen.configured import ArmRules
from loadgen.profiles import CATALOGUE as PROFILES

PROFILE_NAMES = tuple(profile.name for profile in PROFILES)


def loaded_from(
    experiment: str, variables: Mapping[str, str] | None = None
) -> tuple[Experiment, ArmRules]:
    """Load a file or a shipped experiment; also return what is known of its arms.

    Raises:
        DefinitionError: there is none, or it is wrong; every fault is a line of the message.
    """
    path = find(experiment)
    rules = ArmRules(path.parent)
    return load(path, variables, arms=rules, profiles=PROFILE_NAMES), rules
