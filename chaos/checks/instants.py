"""The named instants of a fault: an outage cut into parts, each from the record that shows it.

Every instant lies within `uncertainty_s` before `at_s`: a change that an observer saw lies between
its last sample of the old value and its first of the new one; what an operation proves lies between
its start and its return. An instant that no record shows is told as missing, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from chaos.checks.injections import Injection
from chaos.checks.capacity import (
    force_scale_up,
    pause_and_resume,
    scale_capacity,
    scale_storm,
)
from chaos.checks.new_writer import failover, first_commits
from chaos.checks.recording import Recording
from chaos.checks.scene import Instant, Scene
from chaos.model.operation import PROBE_ARM, Kind, Outcome

_READER = "reader"
_GONE = "deleted"
_AVAILABLE = "available"


def instants(recording: Recording, injection: Injection) -> list[Instant]:
    """Return the instants that belong to this kind of fault, in the order of a textbook case."""
    scene = Scene(recording, injection)
    particular = _BY_FAULT.get(injection.fault)
    middle = particular(scene) if particular else iter(())
    return [*_request(scene), *middle, *_return_to_normal(scene)]


def _request(scene: Scene) -> Iterator[Instant]:
    injection = scene.injection
    requested = injection.requested_ns
    yield scene.at("requested", requested, requested, "journal")
    if injection.accepted_ns is None:
        why = injection.error or injection.unanswered or "the request did not return"
        yield scene.missing("API accepted", why)
    else:
        yield scene.at("API accepted", requested, injection.accepted_ns, "journal")
    for again in injection.again_ns:
        yield scene.at("requested again", again, again, "journal")
    yield _first_failed(scene)


def _first_failed(scene: Scene) -> Instant:
    name = "first failed operation"
    found: list[tuple[int, str, str]] = []
    for arm, log, inside in scene.logs():
        failed = log.operations[inside & (log.operations["outcome"] != Outcome.OK)]
        missed = [n for n, text in enumerate(log.names) if text.endswith(" Missed")]
        failed = failed[~np.isin(failed["error"], missed)]
        failed = failed[failed["intended_ns"] >= scene.injection.requested_ns]
        if len(failed):
            first = failed[np.argmin(failed["intended_ns"])]
            found.append((int(first["intended_ns"]), arm, log.names[first["endpoint"]]))
    if not found:
        return scene.missing(name, "no operation failed")
    at_ns, arm, endpoint = min(found)
    return scene.at(name, at_ns, at_ns, "operations", arm=arm, endpoint=endpoint)


def _return_to_normal(scene: Scene) -> Iterator[Instant]:
    recording, injection = scene.recording, scene.injection
    instances = set(recording.state("status", injection.requested_ns)) - set(
        recording.state("writer", injection.requested_ns)
    )
    writer = scene.new_writer or scene.old_writer
    readers = [
        (PROBE_ARM, instance, Kind.READ)
        for instance in sorted(instances - {writer})
        if (PROBE_ARM, instance, Kind.READ) in recording.streams
    ]
    yield scene.last_return("every reader serves again", readers, "no reader was probed")
    arms = [key for key in recording.streams if key[0] != PROBE_ARM]
    yield scene.last_return("steady state again", arms, "no arm left operations")


def _reboot(scene: Scene) -> Iterator[Instant]:
    target = scene.injection.actual_target or scene.injection.requested_target
    roles = list(scene.seen("role", target))
    down = next((n for n, o in enumerate(roles) if o.value == "unreachable"), len(roles))
    yield scene.change(
        "instance stops answering SQL", roles[down:], "sql", "it was never seen down",
        instance=target,
    )  # fmt: skip
    yield scene.change(
        "instance answers SQL again",
        (o for o in roles[down:] if o.value != "unreachable"),
        "sql",
        "it was not seen coming back",
        instance=target,
    )
    yield from _statuses(
        scene, target, "API shows the reboot", "API shows it available", {"rebooting"}
    )
    yield from first_commits(scene, "")


def _delete_reader(scene: Scene) -> Iterator[Instant]:
    target = scene.injection.actual_target or scene.injection.requested_target
    yield from _statuses(
        scene, target, "API shows it deleting", "API shows the reader back", {"deleting", _GONE}
    )
    yield scene.change(
        "API no longer lists it",
        (o for o in scene.seen("status", target) if o.value == _GONE),
        "api",
        "the API listed it throughout",
        instance=target,
    )
    answers = list(scene.seen("dns", _READER))
    back = scene.injection.recover_ns or scene.injection.until_ns
    # A balancing name's value is every instance that it led to lately, joined by commas.
    named = [n for n, o in enumerate(answers) if target in o.value.split(",")]
    before = [n for n in named if answers[n].at_ns < back]
    after_last = answers[before[-1] + 1 :] if before else answers
    yield scene.change(
        "reader endpoint no longer answers it",
        after_last[:1],
        "dns",
        "no answer was seen to change" if not before else "the last answer seen still led to it",
        endpoint=_READER,
        instance=target,
    )
    yield scene.change(
        "reader endpoint answers it again",
        (answers[n] for n in named if answers[n].at_ns >= back),
        "dns",
        "no answer led to it after it was created again",
        endpoint=_READER,
        instance=target,
    )


def _statuses(
    scene: Scene, target: str, during: str, after: str, states: set[str]
) -> Iterator[Instant]:
    seen = list(scene.seen("status", target))
    begun = next((n for n, o in enumerate(seen) if o.value in states), len(seen))
    yield scene.change(during, seen[begun:], "api", "no such status was seen", instance=target)
    yield scene.change(
        after,
        (o for o in seen[begun:] if o.value == _AVAILABLE),
        "api",
        "it was not seen available after that",
        instance=target,
    )


_BY_FAULT: Mapping[str, Callable[[Scene], Iterator[Instant]]] = {
    "failover-cluster": failover,
    "reboot-instance": _reboot,
    "delete-reader": _delete_reader,
    "scale-capacity": scale_capacity,
    "scale-storm": scale_storm,
    "force-scale-up": force_scale_up,
    "pause-and-resume": pause_and_resume,
}
