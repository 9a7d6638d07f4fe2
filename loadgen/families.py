"""The families of drivers: where each runs, what it takes, what must be installed for it.

Settings are checked against this before anything is disturbed, packages before anything runs; the
drivers themselves are imported only where traffic flows.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from chaos.errors import DefinitionError, nearest
from loadgen.arm import Arm, Hosts

Types = Mapping[str, tuple[type, ...]]
_NUMBER = (int, float)
_LIBPQ_OF_OURS = frozenset(
    {"host", "hostaddr", "port", "user", "password", "dbname", "passfile", "service"}
    | {"application_name", "fallback_application_name", "options", "replication"}
)
"""What the harness gives: where to connect, as whom, and how its sessions are told from others."""
_SECRET = ("pass", "secret", "client_key", "server_key", "keylog", "token")
"""Parts of names of settings that hold secrets, or have them written to a file."""
_WORDS = {int: "a whole number", float: "a number", str: "a word", bool: "true or false"}
_MAPPINGS = ("pool", "connection", "writer_connection", "reader_connection", "session")


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One kind of client."""

    name: str
    driver: str
    """Module and class, `module:Class`."""
    pool: Types = field(default_factory=dict)
    """Settings of its pool."""
    connection: Types | None = None
    """Settings of a connection; None: libpq's, and those of `further`."""
    further: Types = field(default_factory=dict)
    threads: bool = False
    """Whether it runs in a process of threads, since gevent breaks it."""
    no_deadline: str = ""
    """Why a deadline of the arm's own cannot end an attempt of it; empty: it can."""
    module: str | None = None
    """What must be importable beside what the product needs anyway."""


FAMILIES: tuple[Family, ...] = (
    Family(
        name="sqlalchemy",
        driver="loadgen.drivers.sqlalchemy_pool:SqlalchemyDriver",
        pool={
            "pool_size": (int,),
            "max_overflow": (int,),
            "pool_timeout": _NUMBER,
            "pool_recycle": (int,),
            "pool_pre_ping": (bool,),
            "pool_use_lifo": (bool,),
            "poolclass": (str,),
        },
        further={"prepare_threshold": (int,)},
    ),
    Family(
        name="psycopg-pool",
        driver="loadgen.drivers.psycopg_pool:PsycopgPoolDriver",
        pool={
            "min_size": (int,),
            "max_size": (int,),
            "timeout": _NUMBER,
            "max_waiting": (int,),
            "max_lifetime": _NUMBER,
            "max_idle": _NUMBER,
            "reconnect_timeout": _NUMBER,
            "num_workers": (int,),
            "check": (bool,),
        },
        further={"prepare_threshold": (int,)},
        # Whoever waits for a connection is given one later, and nobody gives it back: psycopg_pool
        # 3.3 notices no exception but those derived from Exception, and gevent's are not.
        no_deadline="a wait for its pool that is broken off loses a connection",
    ),
    Family(
        name="held-connection",
        driver="loadgen.drivers.held:HeldDriver",
        further={"prepare_threshold": (int,)},
    ),
    Family(
        name="asyncpg",
        driver="loadgen.drivers.asyncpg_pool:AsyncpgDriver",
        pool={
            "min_size": (int,),
            "max_size": (int,),
            "max_queries": (int,),
            "max_inactive_connection_lifetime": _NUMBER,
            "acquire_timeout": _NUMBER,
        },
        connection={
            "timeout": _NUMBER,
            "command_timeout": _NUMBER,
            "statement_cache_size": (int,),
            "max_cached_statement_lifetime": (int,),
            "max_cacheable_statement_size": (int,),
            "target_session_attrs": (str,),
        },
        threads=True,
        module="asyncpg",
    ),
    Family(
        name="aws-wrapper",
        driver="loadgen.drivers.aws_wrapper:AwsWrapperDriver",
        threads=True,
        no_deadline="its calls block their thread",
        module="aws_advanced_python_wrapper",
    ),
)
_BY_NAME = {family.name: family for family in FAMILIES}
_OWN = Family(name="own", driver="")


def family_of(arm: Arm) -> Family:
    """Return the family of an arm's driver; of one of a user's own, what is known of any."""
    return _BY_NAME.get(arm.family, _OWN)


def runs_in_threads(arm: Arm) -> bool:
    """Tell whether its traffic needs a process of threads."""
    return arm.threads or family_of(arm).threads


def driver_of(arm: Arm) -> Any:
    """Return what makes the arm's drivers: called with a `Way`."""
    if not isinstance(arm.driver, str):
        return arm.driver
    module, _, name = _BY_NAME[arm.driver].driver.partition(":")
    return getattr(importlib.import_module(module), name)


def problems(arm: Arm) -> Iterator[tuple[str, str]]:
    """Yield what makes no sense about an arm: the setting (`pool`, `connection`...), and what.

    What a driver of one's own takes is its author's to check, but for secrets: every setting is
    written into the run's folder.
    """
    for setting in _MAPPINGS:
        for name in getattr(arm, setting):
            if speaks_of_a_secret(name):
                yield (
                    setting,
                    (
                        f"{name} would be written into the run's folder; secrets belong in the "
                        "environment, from where the client reads them itself"
                    ),
                )
    if arm.family == "own":
        return
    family = _BY_NAME.get(arm.family)
    if family is None:
        names = ", ".join(_BY_NAME)
        yield "driver", f"unknown driver {arm.family!r}; drivers are {names}"
        return
    if not _installed(family):
        return  # what it takes is not known then; `require_package` refuses to run it
    yield from _unknown("pool", arm.pool, family.pool, f"the pool of {family.name}")
    for setting in ("connection", "writer_connection", "reader_connection"):
        known = connection_settings(family)
        yield from _unknown(setting, getattr(arm, setting), known, f"connections of {family.name}")
    yield from _contradictions(arm, family)


def require_package(arm: str, family: str) -> None:
    """Hold an arm that is to run to what is installed.

    Raises:
        DefinitionError: its family of drivers needs a package that is not; says how to get it.
    """
    known = _BY_NAME.get(family, _OWN)
    if known.module and not _installed(known):
        raise DefinitionError(
            f"arm {arm} needs the package {known.module.replace('_', '-')}, which is not installed; "
            "pip install 'aurora-gameday[arms]', or choose other arms with --arm"
        )


def _installed(family: Family) -> bool:
    return family.module is None or importlib.util.find_spec(family.module) is not None


def speaks_of_a_secret(name: str) -> bool:
    """Tell by its name whether a setting may hold a secret."""
    return any(part in name.lower() for part in _SECRET)


def _unknown(
    setting: str, given: Mapping[str, Any], known: Types, of: str
) -> Iterator[tuple[str, str]]:
    for name, value in given.items():
        if speaks_of_a_secret(name):
            continue  # which is told already
        if name not in known:
            allowed = ", ".join(sorted(known)) if len(known) < 20 else "libpq's parameters"  # noqa: PLR2004 - readable
            yield (
                setting,
                f"unknown setting {name!r} of {of}; allowed are {allowed or 'none'}"
                + nearest(name, known),
            )
        elif not isinstance(value, known[name]) or (
            isinstance(value, bool) and bool not in known[name]
        ):
            types = [t for t in known[name] if t is not int or float not in known[name]]
            wanted = " or ".join(_WORDS[t] for t in types)
            yield setting, f"{name} is {value!r}; it must be {wanted}"


def connection_settings(family: Family) -> Types:
    """Return what connections of a family take beside what the harness gives; no secrets.

    Raises:
        ImportError: it needs a package that is not installed.
    """
    if family.connection is not None:
        return family.connection
    return {n: t for n, t in _from_libraries(family).items() if not speaks_of_a_secret(n)}


def _from_libraries(family: Family) -> Types:
    import psycopg.pq  # noqa: PLC0415 - only where an arm is checked

    libpq = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
    names: dict[str, tuple[type, ...]] = dict.fromkeys(libpq - _LIBPQ_OF_OURS, (str, int))
    if family.name == "aws-wrapper":
        names |= dict.fromkeys(_wrapper_settings(), (str, int, float, bool))
    return names | dict(family.further)


def _wrapper_settings() -> set[str]:
    from aws_advanced_python_wrapper.utils import properties  # noqa: PLC0415 - only if installed

    every = vars(properties.WrapperProperties).values()
    return {p.name for p in every if isinstance(p, properties.WrapperProperty)} - _LIBPQ_OF_OURS


def _contradictions(arm: Arm, family: Family) -> Iterator[tuple[str, str]]:
    poolclass = arm.pool.get("poolclass")
    if poolclass not in {None, "NullPool", "QueuePool"}:
        yield "pool", f"poolclass is {poolclass!r}; allowed are NullPool, QueuePool"
    others = ", ".join(sorted(set(arm.pool) - {"poolclass", "pool_pre_ping"}))
    if poolclass == "NullPool" and others:
        yield "pool", f"a NullPool keeps no connections, so it takes no {others}"
    if family.name == "psycopg-pool" and arm.pool.get("max_size", 4) < arm.pool.get("min_size", 4):
        yield "pool", "max_size is below min_size, which is 4 where it is not given"
    if family.name == "asyncpg" and arm.pool.get("max_size", 10) < arm.pool.get("min_size", 10):
        yield "pool", "max_size is below min_size; both are 10 where they are not given"
    if arm.deadline_s is not None and family.no_deadline:
        what = f"no deadline can end an attempt of {family.name}: {family.no_deadline}"
        yield "deadline_s", f"{what}; set its own timeouts under pool or connection"
    if arm.read_only_is_disconnect and family.name != "sqlalchemy":
        yield "read_only_is_disconnect", "only the pool of sqlalchemy can be told that"
    if arm.hosts is Hosts.INSTANCES and family.name not in {"sqlalchemy", "psycopg-pool"} | {
        "held-connection"
    }:
        yield "hosts", f"{family.name} is not given several hosts here"
