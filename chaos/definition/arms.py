"""An arm as an experiment names it: which client configuration, changed how, with how much traffic."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Protocol, runtime_checkable

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from chaos.definition.part import Part
from chaos.definition.retries import AnyRetry
from chaos.errors import DefinitionError, nearest


@runtime_checkable
class ArmRules(Protocol):
    """What the loader is told of arms by who knows the drivers; definitions know none."""

    def of_file(self, file: str) -> Collection[str]:
        """Return the arms that a user's file makes, or raise `DefinitionError`."""
        ...

    def problem(self, entry: Mapping[str, Any], setting: str) -> str | None:
        """Return what is wrong with one setting of an entry, as far as the entry is known."""
        ...


def _scalar(value: Any) -> Any:
    if value is not None and not isinstance(value, (bool, int, float, str)):
        raise ValueError(f"a setting is a number, a word, true, false or null, not {value!r}")
    return value


Settings = dict[str, Annotated[Any, AfterValidator(_scalar)]]


class Arm(Part):
    """One client configuration under test, by its name in the catalogue (`gameday arms`)."""

    file: str | None = Field(
        None, description="Python file that makes the arm, beside the experiment; absent: none."
    )
    arm: str = Field(description="Name in the catalogue of arms, or in the file.")
    name: str = Field(
        "",
        pattern=r"^[a-z][a-z0-9-]{0,40}$",
        validate_default=True,
        description="Its own name, where one arm runs several times; absent: the arm's.",
    )
    retry: AnyRetry | None = Field(
        None, description="When its clients try again; absent: as the arm does."
    )
    pool: Settings | None = Field(
        None, description="Settings of its pool, over the arm's; null: the library's default."
    )
    connection: Settings | None = Field(
        None, description="Settings of its connections, over the arm's; null: the default."
    )
    deadline_s: float | None = Field(
        None, ge=0, le=3600, description="Limit of an attempt; 0: none; absent: the arm's."
    )
    profile: str | None = Field(
        None, description="What its clients ask (`gameday profiles`); absent: the workload's."
    )
    operations_per_s: float | None = Field(
        None, gt=0, le=10_000, description="Arrivals per second in all; absent: the workload's."
    )
    writes_per_s: float | None = Field(
        None, gt=0, le=5000, description="Arrivals of writes per second; absent: the workload's."
    )
    reads_per_s: float | None = Field(
        None, gt=0, le=5000, description="Arrivals of reads per second; absent: the workload's."
    )

    @model_validator(mode="before")
    @classmethod
    def _called(cls, told: Any) -> Any:
        """Let an arm without a name of its own be called as the catalogue calls it."""
        if isinstance(told, str):
            raise ValueError(f"an arm is a mapping; write {{arm: {told}}}")  # noqa: TRY004 - pydantic's
        if isinstance(told, Mapping) and "name" not in told and isinstance(told.get("arm"), str):
            return {**told, "name": told["arm"]}
        return told

    @field_validator("file")
    @classmethod
    def _makes_arms(cls, file: str | None, info: ValidationInfo) -> str | None:
        rules = _rules(info)
        if file is not None and rules is not None:
            try:
                rules.of_file(file)
            except DefinitionError as error:
                raise ValueError(str(error)) from error
        return file

    @field_validator("arm")
    @classmethod
    def _exists(cls, name: str, info: ValidationInfo) -> str:
        """Hold the name to the catalogue that the loader was given, or to the file."""
        if "file" not in info.data:
            return name  # the file is wrong, which is told already
        file, rules = info.data["file"], _rules(info)
        if file is None:
            known(name, "arm", info)
        elif rules is not None and name not in (made := rules.of_file(file)):
            raise ValueError(
                f"{file} makes no arm {name!r}; it makes {', '.join(made)}{nearest(name, made)}"
            )
        if rules is not None and (what := rules.problem({"arm": name, "file": file}, "arm")):
            raise ValueError(what)
        return name

    @field_validator("name")
    @classmethod
    def _free(cls, name: str) -> str:
        if name == "probe":
            raise ValueError("probe is what the probes are called; choose another name")
        return name

    @field_validator("pool", "connection", "deadline_s")
    @classmethod
    def _fits(cls, value: Any, info: ValidationInfo) -> Any:
        """Hold settings to what the arm's driver takes."""
        rules = _rules(info)
        if value is None or rules is None or not {"file", "arm"} <= info.data.keys():
            return value  # nothing to hold it to, or what it would be held to is wrong
        assert info.field_name is not None, "a validator of fields"
        entry = {**info.data, "retry": None, info.field_name: value}
        if what := rules.problem(entry, info.field_name):
            raise ValueError(what)
        return value

    def client(self) -> dict[str, Any]:
        """Return what it says of the client itself, as plain data."""
        fields = {"file", "arm", "name", "retry", "pool", "connection", "deadline_s"}
        return self.model_dump(mode="json", include=fields, exclude_none=False)

    @field_validator("profile")
    @classmethod
    def _is_a_profile(cls, name: str | None, info: ValidationInfo) -> str | None:
        return None if name is None else known(name, "profile", info)


def _rules(info: ValidationInfo) -> ArmRules | None:
    rules = (info.context or {}).get("arms")
    return rules if isinstance(rules, ArmRules) else None


def known(name: str, what: str, info: ValidationInfo) -> str:
    """Return a name that is in the loader's catalogue of arms or profiles, where it was given one.

    Raises:
        ValueError: it is not; names all and the nearest.
    """
    allowed = (info.context or {}).get(f"{what}s")
    if allowed is not None and name not in allowed:
        raise ValueError(
            f"unknown {what} {name!r}; allowed are {', '.join(allowed)}{nearest(name, allowed)}"
        )
    return name
