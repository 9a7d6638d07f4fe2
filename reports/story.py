"""The journal told as sentences: what the harness did, when, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from chaos.model.history import History
from chaos.model.record import Event
from reports.words import duration

Data = Mapping[str, Any]
_AT_ONCE_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """One thing that happened; `weight` is "phase" for a heading, "bad" for what went wrong."""

    at_s: float
    text: str
    weight: str = ""
    detail: str = ""


def tell(history: History) -> Iterator[Sentence]:
    """Yield the journal in order, one sentence an event that says something new."""
    started: dict[tuple[str, str], float] = {}
    for event in _grouped(history.events):
        at_s = history.seconds(event.at_ns)
        took = _took(event, at_s, started)
        text = _TELLERS.get(event.type, _other)(event.data, took)
        if text:
            yield Sentence(
                at_s=at_s, text=text, weight=_weight(event), detail=_detail(event.data, event.type)
            )


def _grouped(events: Sequence[Event]) -> Iterator[Event]:
    """Yield the events, guards that agreed in a row as one and a repeated phase once."""
    for (kind, key), run in groupby(events, key=_alike):
        found = list(run)
        if kind == "guard" and key:
            names = ", ".join(str(e.data.get("guard")) for e in found)
            yield replace(found[0], data={"guard": names, "count": len(found)})
        else:
            yield from found[:1] if key else found


def _alike(event: Event) -> tuple[str, str]:
    """Return what events that are told together have in common; "" for those told alone."""
    data = event.data
    if event.type == "guard" and not data.get("refused") and not data.get("why"):
        return "guard", "agreed"
    if event.type == "phase" and data.get("state") == "started":
        return "phase", str(data.get("phase"))
    return event.type, ""


def _took(event: Event, at_s: float, started: dict[tuple[str, str], float]) -> str:
    """Return ", after 1.2 s" for the end of what the journal saw begin."""
    about = [event.data.get(k) for k in ("fault_id", "verb", "phase")]
    key = (event.type, "/".join(str(part) for part in about))
    if event.data.get("state") == "started":
        started[key] = at_s
    elif event.data.get("state") == "ended" and key in started:
        took_s = at_s - started.pop(key)
        if took_s < _AT_ONCE_S and event.data.get("verb") in {"hold", "recover"}:
            return ""
        return f", after {duration(took_s)}"
    return ""


def _weight(event: Event) -> str:
    data = event.data
    if data.get("error") or data.get("refused") or data.get("error_code"):
        return "bad"
    if data.get("effect") == "none" or (event.type == "steady" and not data.get("ok")):
        return "bad"
    return "phase" if event.type in {"phase", "run"} else ""


def _detail(data: Data, kind: str) -> str:
    if kind == "undo":
        return str(data.get("command") or "")
    reasons = ("error", "why", "unanswered", "refused")
    parts = [str(data[k]) for k in reasons if isinstance(data.get(k), str) and data[k]]
    measured = data.get("measured")
    if isinstance(measured, Mapping):
        parts.append(", ".join(f"{k.replace('_', ' ')} {_figure(v)}" for k, v in measured.items()))
    return "; ".join(parts)


def _figure(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else str(value)


def _run(data: Data, took: str) -> str:
    if data.get("state") == "started":
        return "The run began"
    return f"The run ended: {data.get('status', 'status unknown')}{took}"


def _phase(data: Data, took: str) -> str:
    if data.get("state") == "started":
        return f"{str(data.get('phase', 'phase')).capitalize()}"
    return (
        f"{str(data.get('phase', 'phase')).capitalize()} failed{took}" if data.get("error") else ""
    )


def _guard(data: Data, _took: str) -> str:
    noun = "Guards" if data.get("count", 1) > 1 else "Guard"
    return f"{noun} {'refused' if data.get('refused') else 'agreed'}: {data.get('guard')}"


def _undo(data: Data, _took: str) -> str:
    return f"Wrote down how to undo: {data.get('action')}{_parameters(data)}"


def _undone(data: Data, _took: str) -> str:
    return f"Undid {data.get('id')}: {data.get('result', 'done')}"


def _name(data: Data) -> str:
    place = data.get("place")
    return f"{data.get('fault')} ({place})" if place else str(data.get("fault"))


def _fault(data: Data, took: str) -> str:
    name, verb = _name(data), str(data.get("verb"))
    if data.get("error"):
        return f"{name}: {verb} went wrong{took}"
    if data.get("again"):
        return _again(data, name)
    if data.get("state") == "ended":
        return _verb_ended(data, verb, took)
    if verb != "inject":
        return ""
    asked = data.get("requested_target")
    return f"Injected {name}" + (f" on {asked}" if asked else "")


def _again(data: Data, name: str) -> str:
    if data.get("state") == "started":
        return f"Requested {name} again: nothing had come of it"
    if data.get("refused"):
        return f"{name}: the second request was refused; the first may be under way"
    return ""


def _verb_ended(data: Data, verb: str, took: str) -> str:
    name, target = _name(data), data.get("actual_target") or data.get("requested_target")
    if verb in {"hold", "recover"} and not took:
        return ""
    if data.get("unanswered"):
        return f"{name}: the request was not answered{took}; its effect will tell"
    effect = "had no effect" if data.get("effect") == "none" else "took effect"
    if int(data.get("requests") or 1) > 1:
        effect += f", requested {data['requests']} times"
    said = {
        "inject": f"{name}: the request was accepted{took}"
        + (f"; target {target}" if target else ""),
        "effect": f"{name} {effect}{took}",
        "recover": f"{name}: recovery done{took}",
        "recovered": f"{name}: the cluster has recovered{took}",
    }
    return said.get(verb, f"{name}: {verb} over{took}")


def _call(data: Data, _took: str) -> str:
    failed = data.get("error_code")
    answer = f"was answered {failed}" if failed else "was accepted"
    return f"API call {data.get('operation')}{_parameters(data)} {answer}"


def _steady(data: Data, _took: str) -> str:
    state = "held" if data.get("ok") else "did not hold"
    return f"Steady state {data.get('when', '')}: {data.get('probe')} {state}".replace("  ", " ")


def _load(data: Data, _took: str) -> str:
    said = {
        "pausing": "Traffic and probes finish what is under way, and stand still",
        "paused": "Traffic and probes stand still, without a session",
        "resumed": "Traffic and probes go on",
    }
    return said.get(str(data.get("state")), "")


def _drawn(data: Data, _took: str) -> str:
    steps = ", ".join(
        f"{step.get('place')} at +{step.get('after_s')} s" for step in data.get("steps") or ()
    )
    return f"Drew the instants of {data.get('name')} from seed {data.get('seed')}: {steps}"


def _note(data: Data, _took: str) -> str:
    return str(data.get("text", ""))


def _other(data: Data, _took: str) -> str:
    return ", ".join(f"{key} {value}" for key, value in data.items())


def _parameters(data: Data) -> str:
    told = ", ".join(f"{k}={v}" for k, v in (data.get("parameters") or {}).items() if v is not None)
    return f" ({told})" if told else ""


_TELLERS: Mapping[str, Callable[[Data, str], str]] = {
    "run": _run,
    "phase": _phase,
    "guard": _guard,
    "undo": _undo,
    "undone": _undone,
    "fault": _fault,
    "call": _call,
    "steady": _steady,
    "drawn": _drawn,
    "load": _load,
    "note": _note,
}
