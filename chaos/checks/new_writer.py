"""The instants of a failover: the old writer, the new one, and when each witness knew of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from chaos.checks.connections import connections_of
from chaos.checks.scene import CLUSTER, About, Instant, Scene
from chaos.checks.switching import PROBES, answers
from chaos.checks.switching_roles import roles
from chaos.model.operation import READ_ONLY, WRITING


def failover(scene: Scene) -> Iterator[Instant]:
    """Yield what tells the old writer from the new one."""
    old, new = scene.old_writer, scene.new_writer
    yield _last_commit(scene, old)
    if not new:
        why = "no other instance became the writer"
        for name in (
            "new writer by SQL",
            "API shows the new writer",
            "cluster DNS answers the new writer",
            "last stale DNS answer",
            "first new connection to the new writer",
        ):
            yield scene.missing(name, why)
    else:
        yield scene.change(
            "new writer by SQL",
            (o for o in scene.seen("role", new) if o.value == "writer"),
            "sql",
            "no instance said so by SQL",
            instance=new,
        )
        yield scene.change(
            "API shows the new writer",
            (o for o in scene.seen("writer") if o.value == new),
            "api",
            "the API never named it",
            instance=new,
        )
        yield from _names(scene, old, new)
        yield from _names_of_clients(scene, new)
        yield _first_connection(scene, new)
    yield from first_commits(scene, new)
    yield from last_read_only(scene)


def _last_commit(scene: Scene, old: str) -> Instant:
    name = "last commit on the old writer"
    if not old:
        return scene.missing(name, "the writer before the fault is not known")
    found = [
        (at[1], at[0], some.arm)
        for some in scene.successes(old, writes=True)
        if (at := some.last()) is not None
    ]
    if not found:
        why = "no write was committed on it after the request"
        return scene.missing(name, why, instance=old)
    ended, started, arm = max(found)
    return scene.felt(name, started, ended, arm=arm, instance=old)


def _names(scene: Scene, old: str, new: str) -> Iterator[Instant]:
    answers = list(scene.seen("dns", CLUSTER))
    first = next((n for n, o in enumerate(answers) if o.value == new), len(answers))
    yield scene.change(
        "cluster DNS answers the new writer",
        answers[first:],
        "dns",
        "no answer led to it",
        endpoint=CLUSTER,
        instance=new,
    )
    name = "last stale DNS answer"
    stale = [n for n, o in enumerate(answers) if n > first and o.value == old]
    if not stale:
        yield scene.missing(name, "none was seen after the first right one", endpoint=CLUSTER)
        return
    after = answers[stale[-1] + 1 :][:1]
    if not after:
        why = f"the last answer seen still led to {old}"
        yield scene.missing(name, why, endpoint=CLUSTER, instance=old)
        return
    yield scene.change(name, after, "dns", "", endpoint=CLUSTER, instance=old)


def _names_of_clients(scene: Scene, new: str) -> Iterator[Instant]:
    """Yield what the resolver of each arm answered, of those that told of any answer."""
    since_ns, until_ns = scene.injection.requested_ns, scene.injection.until_ns
    for promotion in roles(scene.recording).promotions:
        if promotion.instance != new or not since_ns <= promotion.change.at_ns < until_ns:
            continue
        for heard in answers(scene.recording, promotion):
            if heard.witness == PROBES:
                continue
            for name, told, leads_to in (
                ("client's DNS answers the new writer", heard.first_right, new),
                ("last stale DNS answer to a client", heard.last_stale, promotion.before),
            ):
                yield Instant(
                    name=name,
                    at_s=told.at_s,
                    uncertainty_s=told.uncertainty_s,
                    source="dns",
                    why=told.why,
                    arm=heard.witness,
                    endpoint=CLUSTER,
                    instance=leads_to,
                )


def _first_connection(scene: Scene, new: str) -> Instant:
    """Return when a client was first connected to the new writer: by its log, else by its use."""
    name = "first new connection to the new writer"
    found = [
        (at[1], at[0], some.arm)
        for some in scene.successes(new, writes=False)
        if (at := some.first()) is not None
    ]
    since_ns, until_ns = scene.injection.requested_ns, scene.injection.until_ns
    for arm in scene.recording.arms:
        logged = connections_of(scene.recording, arm)
        if logged is None:
            continue
        rows = logged.through(CLUSTER) & logged.on(new)
        rows &= (logged.opened >= since_ns) & (logged.opened < until_ns)
        found += [(int(logged.opened[n]), int(logged.began[n]), arm) for n in np.flatnonzero(rows)]
    if not found:
        return scene.missing(name, "no operation on the cluster endpoint reached it", instance=new)
    ended, started, arm = min(found)
    return scene.felt(name, started, ended, arm=arm, instance=new)


def first_commits(scene: Scene, new: str) -> Iterator[Instant]:
    """Yield for each arm the first write committed by the new writer, or after the interruption."""
    name = "first committed write"
    for writes in scene.successes(new, writes=True):
        streams = [
            stream
            for kind in WRITING
            if (stream := (writes.arm, CLUSTER, kind)) in scene.recording.streams
        ]
        if not streams:
            continue
        about: About = {"arm": writes.arm, "endpoint": CLUSTER, "instance": new}
        if not new:
            yield scene.last_return(name, streams, "no writes were recorded")
        elif (at := writes.first()) is not None:
            yield scene.felt(name, *at, **about)
        else:
            yield scene.missing(name, "none was committed by the new writer", **about)


def last_read_only(scene: Scene) -> Iterator[Instant]:
    """Yield for each arm when a demoted writer last refused one of its writes."""
    name = "last 25006"
    for arm, log, _ in scene.logs():
        codes = [n for n, text in enumerate(log.names) if text.startswith(READ_ONLY)]
        found = []
        for records in (log.attempts, log.operations):
            refused = records[np.isin(records["error"], codes)]
            ended = refused["ended_ns"]
            inside = (ended >= scene.injection.requested_ns) & (ended < scene.injection.until_ns)
            refused = refused[inside]
            if len(refused):
                last = refused[np.argmax(refused["ended_ns"])]
                found.append((int(last["ended_ns"]), int(last["started_ns"])))
        if found:
            ended_ns, started_ns = max(found)
            yield scene.felt(name, started_ns, ended_ns, arm=arm)
        else:
            yield scene.missing(name, "no write was refused as read-only", arm=arm)
