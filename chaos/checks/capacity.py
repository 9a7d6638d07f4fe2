"""The named instants of what changes a Serverless v2 capacity, or lets it pause."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from chaos.checks.scene import CLUSTER, Instant, Scene, named
from chaos.model.operation import Outcome
from chaos.model.record import Observation
from chaos.model.stretch import Stretch

_READER = "reader"
_PAUSED_EVENT = "paused the DB instance"


def scale_capacity(scene: Scene) -> Iterator[Instant]:
    """Yield when new bounds showed, when the capacity was within them, when the old ones did."""
    yield from _new_bounds(scene)
    yield _effect(scene, "CloudWatch shows every capacity within them")
    yield from _old_bounds(scene)


def scale_storm(scene: Scene) -> Iterator[Instant]:
    """Yield when each of the series showed, then the old bounds."""
    series = scene.injection.parameters.get("series") or ()
    seen = _bounds_seen(scene)
    for number, gust in enumerate(series, 1):
        least, most = float(gust["min_acu"]), float(gust["max_acu"])
        name = f"API shows bounds {number} of {len(series)}: {least:g} to {most:g} ACU"
        found = next((n for n, o in enumerate(seen) if _bounds(o) == f"{least:g}-{most:g}"), None)
        yield scene.change(
            name,
            seen[found : found + 1] if found is not None else (),
            "api",
            "they were not seen, or not for a quarter of a second",
        )
        seen = seen if found is None else seen[found + 1 :]
    yield from _old_bounds(scene)


def force_scale_up(scene: Scene) -> Iterator[Instant]:
    """Yield when the capacity had risen, and when the load was off."""
    injection = scene.injection
    yield _effect(scene, "CloudWatch shows the capacity risen")
    if injection.recover_ns is None or injection.recovered_ns is None:
        yield scene.missing("load is off", "the journal ends before it was")
    else:
        yield scene.at("load is off", injection.recover_ns, injection.recovered_ns, "journal")


def pause_and_resume(scene: Scene) -> Iterator[Instant]:
    """Yield when the load stood still, all was paused, traffic went on, and was served again."""
    injection = scene.injection
    yield from _new_bounds(scene)
    quiet = next(
        (
            stretch
            for stretch in scene.recording.quiet
            if injection.requested_ns <= stretch.from_ns < injection.until_ns
        ),
        None,
    )
    if quiet is None:
        yield scene.missing("traffic stands still", "it never did")
    else:
        yield scene.at("traffic stands still", quiet.from_ns, quiet.from_ns, "journal")
    told = [o for o in scene.seen("event") if _PAUSED_EVENT in o.value]
    yield scene.change(
        "RDS event of the last pause", told[-1:], "api", "no such event was delivered"
    )
    yield _effect(scene, "CloudWatch shows every instance at 0 ACU")
    yield from _awake(scene, quiet)
    yield from _old_bounds(scene)


def _awake(scene: Scene, quiet: Stretch | None) -> Iterator[Instant]:
    if quiet is None or quiet.to_ns >= scene.injection.until_ns:
        yield scene.missing("traffic goes on", "it never did")
        return
    yield scene.at("traffic goes on", quiet.to_ns, quiet.to_ns, "journal")
    name = "first connection after the pause"
    for arm, log, inside in scene.logs():
        operations = log.operations
        served = inside & (operations["outcome"] == Outcome.OK)
        served &= operations["started_ns"] >= quiet.to_ns
        for endpoint in (CLUSTER, _READER):
            found = operations[served & named(operations["endpoint"], log, endpoint)]
            if not len(found):
                yield scene.missing(name, "none was served", arm=arm, endpoint=endpoint)
                continue
            first = found[np.argmin(found["ended_ns"])]
            since, at = int(first["started_ns"]), int(first["ended_ns"])
            yield scene.felt(name, since, at, arm=arm, endpoint=endpoint)


def _effect(scene: Scene, name: str) -> Instant:
    """Return when the run saw the effect; CloudWatch may show it a minute after it was so."""
    injection = scene.injection
    if injection.effect_ns is None or injection.effect != "taken":
        return scene.missing(name, injection.error or "it was not seen")
    since_ns = injection.accepted_ns or injection.requested_ns
    return scene.at(name, since_ns, injection.effect_ns, "cloudwatch")


def _bounds_seen(scene: Scene) -> list[Observation]:
    """Return how the bounds changed, as the API showed it; none where no cluster was seen."""
    clusters = scene.recording.state("writer", scene.injection.requested_ns)
    return [o for cluster in clusters for o in scene.seen("capacity", cluster)]


def _first_bounds(scene: Scene) -> set[str]:
    before_ns = scene.injection.requested_ns
    clusters = scene.recording.state("writer", before_ns)
    return {v for k, v in scene.recording.state("capacity", before_ns).items() if k in clusters}


def _new_bounds(scene: Scene) -> Iterator[Instant]:
    first = _first_bounds(scene)
    changed = [o for o in _bounds_seen(scene) if o.value not in first]
    yield scene.change("API shows the new bounds", changed, "api", "they never changed")


def _old_bounds(scene: Scene) -> Iterator[Instant]:
    first, seen = _first_bounds(scene), _bounds_seen(scene)
    changed = next((n for n, o in enumerate(seen) if o.value not in first), len(seen))
    again = [o for o in seen[changed:] if o.value in first]
    yield scene.change("API shows the old bounds again", again, "api", "they were not seen again")


def _bounds(seen: Observation) -> str:
    """Return the bounds alone, without the idle time that may follow them."""
    return seen.value.partition(",")[0]
