"""The named instants of a fault: an outage cut into parts, each from the record that shows it.

Every instant lies within `uncertainty_s` before `at_s`: a change that an observer saw lies between
its last sample of the old value and its first of the new one; what an operation proves lies between
its start and its return. An instant that no record shows is told as missing, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from chaos.checks import capacity, sequences
from chaos.checks.injections import Injection
from chaos.checks.new_writer import failover
from chaos.checks.recording import Recording
from chaos.checks.scene import Instant, Scene
from chaos.model.operation import PROBE_ARM, Kind, Outcome


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
        missed = [n for n, text in enumerate(log.names) if " Missed" in text]
        failed = failed[~np.isin(failed["error"], missed)]
        failed = failed[failed["intended_ns"] >= scene.injection.requested_ns]
        if len(failed):
            first = failed[np.argmin(failed["intended_ns"])]
            found.append((int(first["intended_ns"]), arm, log.names[first["endpoint"]]))
    if not found:
        return scene.missing(name, "no operation failed")
    at_ns, arm, endpoint = min(found)
    return scene.felt(name, at_ns, at_ns, arm=arm, endpoint=endpoint)


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


_BY_FAULT: Mapping[str, Callable[[Scene], Iterator[Instant]]] = {
    "failover-cluster": failover,
    "reboot-with-failover": sequences.reboot_with_failover,
    "reboot-instance": sequences.reboot,
    "crash-instance": sequences.crash,
    "switchover-global": sequences.moved_primary,
    "failover-global": sequences.moved_primary,
    "delete-reader": sequences.deletion,
    "delete-writer": sequences.writer_deletion,
    "delete-all-readers": sequences.deletion,
    "add-reader": sequences.addition,
    "stop-cluster": sequences.stop,
    "change-instance-class": sequences.class_change,
    "change-promotion-tier": sequences.setting_change,
    "scale-capacity": capacity.scale_capacity,
    "scale-storm": capacity.scale_storm,
    "force-scale-up": capacity.force_scale_up,
    "pause-and-resume": capacity.pause_and_resume,
    "hang-instance": sequences.silence,
    "power-loss": sequences.silence,
}
