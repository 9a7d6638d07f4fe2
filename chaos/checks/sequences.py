"""The named instants of faults that restart, take away, add or change members."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from chaos.checks.new_writer import failover, first_commits, last_read_only
from chaos.checks.scene import Instant, Scene

_READER = "reader"
_GONE = "deleted"
_AVAILABLE = "available"
_UNREACHABLE = "unreachable"


def reboot(scene: Scene) -> Iterator[Instant]:
    """Yield when each target was down and back, by SQL and by the API."""
    for target in scene.targets:
        yield from _down_and_back(scene, target)
        yield from _statuses(
            scene, target, "API shows the reboot", "API shows it available", states={"rebooting"}
        )
    yield from first_commits(scene, "")


def crash(scene: Scene) -> Iterator[Instant]:
    """Yield when the target was down and back; the API may never show a crash."""
    for target in scene.targets:
        yield from _down_and_back(scene, target)
    yield from first_commits(scene, "")


def silence(scene: Scene) -> Iterator[Instant]:
    """Yield when each target fell silent and was back, and a failover's instants where there was one."""
    for target in scene.targets:
        yield from _down_and_back(scene, target)
    yield from failover(scene) if scene.new_writer else first_commits(scene, "")


def reboot_with_failover(scene: Scene) -> Iterator[Instant]:
    """Yield a failover's instants, or a reboot's where one instance is all there is."""
    alone = len(scene.recording.state("role", scene.injection.until_ns)) == 1
    yield from (reboot if alone else failover)(scene)


def deletion(scene: Scene) -> Iterator[Instant]:
    """Yield when each target went and came back, in the API and in the reader endpoint's answers."""
    for target in scene.targets:
        yield from _gone_and_back(scene, target)
        yield from _answered(scene, target)


def writer_deletion(scene: Scene) -> Iterator[Instant]:
    """Yield a failover's instants, and when the target went and came back."""
    yield from failover(scene)
    for target in scene.targets:
        yield from _gone_and_back(scene, target)


def addition(scene: Scene) -> Iterator[Instant]:
    """Yield when the API knew of the new instance, and of its end."""
    for target in scene.targets:
        yield from _statuses(
            scene, target, "API shows it creating", "API shows it available", states={"creating"}
        )
        yield from _statuses(
            scene,
            target,
            "API shows it deleting",
            "API no longer lists it",
            states={"deleting"},
            ends={_GONE},
        )


def setting_change(scene: Scene) -> Iterator[Instant]:
    """Yield when the API showed the other setting of each target, and the old one again."""
    before = scene.recording.state("settings", scene.injection.requested_ns)
    for target in scene.targets:
        seen = list(scene.seen("settings", target))
        changed = next((n for n, o in enumerate(seen) if o.value != before.get(target)), len(seen))
        yield scene.change(
            "API shows the new setting", seen[changed:], "api", "it never changed", instance=target
        )
        yield scene.change(
            "API shows the old setting again",
            (o for o in seen[changed:] if o.value == before.get(target)),
            "api",
            "it was not seen again",
            instance=target,
        )


def class_change(scene: Scene) -> Iterator[Instant]:
    """Yield when the class changed, and when the target was down and back for it."""
    for target in scene.targets:
        yield from _down_and_back(scene, target)
    yield from setting_change(scene)
    yield from first_commits(scene, "")


def stop(scene: Scene) -> Iterator[Instant]:
    """Yield when the whole cluster went and came back."""
    for cluster in scene.recording.state("writer", scene.injection.requested_ns):
        for during, after in (("stopping", "stopped"), ("starting", _AVAILABLE)):
            yield from _statuses(
                scene,
                cluster,
                f"API shows it {during}",
                f"API shows it {after}",
                states={during},
                ends={after},
            )
    if scene.old_writer:
        yield from _down_and_back(scene, scene.old_writer)
    yield from first_commits(scene, "")


def moved_primary(scene: Scene) -> Iterator[Instant]:
    """Yield when the writer here became a reader of another Region's, and the writer again."""
    writer = scene.old_writer
    roles = list(scene.seen("role", writer))
    demoted = next((n for n, o in enumerate(roles) if o.value == _READER), len(roles))
    yield scene.change(
        "old writer is a reader by SQL", roles[demoted:], "sql", "it never said so", instance=writer
    )
    yield scene.change(
        "old writer writes again by SQL",
        (o for o in roles[demoted:] if o.value == "writer"),
        "sql",
        "it was not seen to be the writer again",
        instance=writer,
    )
    named = list(scene.seen("writer"))
    none = next((n for n, o in enumerate(named) if o.value != writer), len(named))
    yield scene.change("API names no writer here", named[none:], "api", "it always named one")
    yield scene.change(
        "API names the writer again",
        (o for o in named[none:] if o.value == writer),
        "api",
        "it was not named again",
        instance=writer,
    )
    yield from last_read_only(scene)
    yield from first_commits(scene, "")


def _down_and_back(scene: Scene, target: str) -> Iterator[Instant]:
    roles = list(scene.seen("role", target))
    down = next((n for n, o in enumerate(roles) if o.value == _UNREACHABLE), len(roles))
    yield scene.change(
        "instance stops answering SQL",
        roles[down:],
        "sql",
        "it was never seen down",
        instance=target,
    )
    yield scene.change(
        "instance answers SQL again",
        (o for o in roles[down:] if o.value != _UNREACHABLE),
        "sql",
        "it was not seen coming back",
        instance=target,
    )


def _gone_and_back(scene: Scene, target: str) -> Iterator[Instant]:
    yield from _statuses(
        scene, target, "API shows it deleting", "API shows it back", states={"deleting", _GONE}
    )
    yield scene.change(
        "API no longer lists it",
        (o for o in scene.seen("status", target) if o.value == _GONE),
        "api",
        "the API listed it throughout",
        instance=target,
    )


def _answered(scene: Scene, target: str) -> Iterator[Instant]:
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
    scene: Scene,
    subject: str,
    during: str,
    after: str,
    *,
    states: Collection[str],
    ends: Collection[str] = (_AVAILABLE,),
) -> Iterator[Instant]:
    seen = list(scene.seen("status", subject))
    begun = next((n for n, o in enumerate(seen) if o.value in states), len(seen))
    yield scene.change(during, seen[begun:], "api", "no such status was seen", instance=subject)
    yield scene.change(
        after,
        (o for o in seen[begun:] if o.value in ends),
        "api",
        f"it was not seen {' or '.join(ends)} after that",
        instance=subject,
    )
