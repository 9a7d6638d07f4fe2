"""Arms as an experiment configures them: from the catalogue or a file, with changes of its own.

The loader asks `ArmRules` whether an entry makes sense; what it made of the entry goes to the traffic
process as JSON (`ArmTraffic.client`), where `arm_of` makes the arm of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from chaos.errors import DefinitionError
from loadgen.arm import Arm, Hosts, Policy, Retry, RetryOn
from loadgen.arms import CATALOGUE, find
from loadgen.config import ArmTraffic
from loadgen.families import problems, runs_in_threads
from loadgen.own_arms import Found, Source, arms_in, look_into

CHANGES = ("name", "retry", "pool", "connection", "deadline_s")
"""What an experiment may say of an arm beside its traffic."""


class ArmRules(Collection[str]):
    """The arms that an experiment in `folder` may name: those of the catalogue, and of its files."""

    def __init__(self, folder: Path) -> None:
        """Know the catalogue; files are looked into when they are asked for."""
        self._folder = folder
        self._found: dict[str, Found] = {}

    def __iter__(self) -> Iterator[str]:
        return (arm.name for arm in CATALOGUE)

    def __len__(self) -> int:
        return len(CATALOGUE)

    def __contains__(self, name: object) -> bool:
        return any(arm.name == name for arm in CATALOGUE)

    def of_file(self, file: str) -> Collection[str]:
        """Return the names of the arms that a file makes.

        Raises:
            DefinitionError: it cannot be read or is wrong; says in which line.
        """
        if file not in self._found:
            self._found[file] = look_into(self._folder / file)
        return self._found[file].arms

    def problem(self, entry: Mapping[str, Any], setting: str) -> str | None:
        """Return what is wrong with one setting of an entry, as far as the entry is known."""
        changes = {key: entry[key] for key in CHANGES if entry.get(key) is not None}
        if entry.get("file"):
            described = self._found[entry["file"]].arms[entry["arm"]]
            if setting == "arm":
                return next(iter(described["problems"]), None)
            arm = _described_arm({"arm": entry["arm"], "described": described})
        else:
            arm = find(entry["arm"])
        return next((what for of, what in problems(arm.changed(changes)) if of == setting), None)

    def client_of(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a traffic process needs in order to make the arm of a valid entry."""
        changes = {key: entry[key] for key in CHANGES if entry.get(key) is not None}
        client: dict[str, Any] = {"arm": entry["arm"], "changes": changes}
        if entry.get("file"):
            found = self._found[entry["file"]]
            client["source"] = {"name": found.source.name, "text": found.source.text}
            client["described"] = dict(found.arms[entry["arm"]])
        return client


def arm_of(traffic: ArmTraffic) -> Arm:
    """Make the arm whose traffic it is, as each worker runs it; runs the user's file, if it is from one.

    Raises:
        DefinitionError: there is no such arm, or its file is wrong.
    """
    arm = _whole_arm(traffic)
    return replace(arm, retry=arm.retry.share(traffic.workers))


def _whole_arm(traffic: ArmTraffic) -> Arm:
    client = traffic.client
    if not client:
        return find(traffic.arm)
    if "source" in client:
        made = arms_in(Source(**client["source"]))
        if client["arm"] not in made:
            raise DefinitionError(f"{client['source']['name']} makes no arm {client['arm']!r}")
        arm = made[client["arm"]]
    else:
        arm = find(client["arm"])
    return arm.changed({**client["changes"], "name": traffic.arm})


def needs_threads(traffic: ArmTraffic) -> bool:
    """Tell whether the arm's traffic needs a process of threads; runs no file of a user."""
    client = traffic.client
    if "described" in client:
        return bool(client["described"]["threads"])
    return runs_in_threads(find(client.get("arm", traffic.arm)))


def family_in_use(traffic: ArmTraffic) -> str:
    """Return the name of the family of the arm's driver; runs no file of a user."""
    client = traffic.client
    if "described" in client:
        return str(client["described"]["settings"]["driver"])
    return find(client.get("arm", traffic.arm)).family


def described(traffic: ArmTraffic) -> dict[str, Any]:
    """Return description and settings for the record; runs no file of a user."""
    client = traffic.client
    if "source" not in client:
        arm = arm_of(traffic)
        return {"description": arm.description, "settings": _settings(client, arm)}
    arm, source = _described_arm(client), Source(**client["source"])
    return {
        "description": arm.description,
        "settings": _settings(client, arm.changed(client["changes"])),
        "file": {"name": source.name, "sha256": source.sha256},
    }


def _settings(client: Mapping[str, Any], arm: Arm) -> dict[str, Any]:
    return {"arm": client.get("arm", arm.name), **arm.settings}


def _described_arm(client: Mapping[str, Any]) -> Arm:
    """Return an arm with the settings of one that a file makes, without running the file."""
    known = client["described"]
    settings = dict(known["settings"])
    driver, retry = settings.pop("driver"), settings.pop("retry")
    return Arm(
        name=client["arm"],
        description=known["description"],
        driver=object if driver == "own" else driver,
        retry=Retry(**{**retry, "policy": Policy(retry["policy"]), "on": RetryOn(retry["on"])}),
        hosts=Hosts(settings.pop("hosts")),
        threads=known["threads"],
        **settings,
    )


def keep_sources(arms: Iterable[ArmTraffic], folder: Path) -> None:
    """Write the files that arms are made of below the run folder, so that it tells all.

    Raises:
        OSError: the folder cannot be written.
    """
    for traffic in arms:
        if "source" in traffic.client:
            source = Source(**traffic.client["source"])
            (folder / "arms").mkdir(exist_ok=True)
            (folder / "arms" / f"{traffic.arm}.py").write_text(source.text, encoding="utf-8")
