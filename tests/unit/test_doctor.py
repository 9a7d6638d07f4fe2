"""The doctor: each rule finds what is planted, and says that a healthy one is well."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fix_rds import member, topology

from chaos.db.conninfo import parameters_of
from chaos.doctor import (
    CLIENT_RULES,
    MACHINE_RULES,
    TARGET_RULES,
    Client,
    Level,
    Machine,
    Patient,
    Rule,
    examine,
    worst,
)
from chaos.errors import DefinitionError
from chaos.model.topology import Capacity, Role

ZONED = (
    member("i1", Role.WRITER),
    replace(member("i2"), availability_zone="eu-west-1b"),
    replace(member("i3", tier=2), availability_zone="eu-west-1c"),
)
WELL = Patient(
    topology=topology(members=ZONED),
    ttl_s={"cluster": 5, "reader": 1},
    parameters={"apg_ccm_enabled": "1"},
    settings={"idle_in_transaction_session_timeout": "60000", "tcp_keepalives_idle": "60"},
)


def patient(**changes: Any) -> Patient:
    return replace(WELL, topology=topology(**{"members": ZONED, **changes}))


LONE = patient(is_cluster=False, members=ZONED[:1])
SERVERLESS = tuple(replace(m, instance_class="db.serverless") for m in ZONED)

TARGETS: list[tuple[str, Patient, Level, str]] = [
    ("readers", patient(members=ZONED[:1]), Level.PROBLEM, "it has no reader"),
    ("readers", patient(members=ZONED[:2]), Level.ADVICE, "it has one reader"),
    ("readers", LONE, Level.PROBLEM, "no standby"),
    ("zones", patient(members=topology().members), Level.PROBLEM, "every member is in eu-west-1a"),
    (
        "tiers",
        patient(members=(*ZONED[:2], replace(ZONED[2], promotion_tier=1, instance_class="db.t4g"))),
        Level.ADVICE,
        "different sizes share tier 1",
    ),
    (
        "sizes",
        patient(members=(*ZONED[:1], replace(ZONED[1], instance_class="db.t4g"), ZONED[2])),
        Level.ADVICE,
        "is db.t4g; the writer is db.r6g.large",
    ),
    (
        "sizes",
        patient(members=(SERVERLESS[0], replace(SERVERLESS[1], promotion_tier=2), SERVERLESS[2])),
        Level.PROBLEM,
        "follows its own load",
    ),
    ("names", replace(WELL, ttl_s={"cluster": 60}), Level.PROBLEM, "may be kept for 60 s"),
    ("names", replace(WELL, ttl_s={"reader": None}), Level.PROBLEM, "does not resolve"),
    (
        "idle-transactions",
        replace(WELL, settings={"idle_in_transaction_session_timeout": "0"}),
        Level.ADVICE,
        "keeps its locks",
    ),
    (
        "server-keepalives",
        replace(WELL, settings={"tcp_keepalives_idle": "7200"}),
        Level.ADVICE,
        "7200 s",
    ),
    ("pending-changes", patient(pending={"Port": 1}), Level.ADVICE, "wait for a reboot"),
    (
        "pending-changes",
        patient(members=(replace(ZONED[0], pending={"DBInstanceClass": "x"}), *ZONED[1:])),
        Level.ADVICE,
        "DBInstanceClass",
    ),
    ("pausing", patient(capacity=Capacity(min_acu=0, max_acu=8)), Level.ADVICE, "instances pause"),
    ("read-availability", patient(engine_version="13.9"), Level.ADVICE, "restarts all readers"),
    ("read-availability", patient(engine_version="11.21"), Level.ADVICE, "restarts all readers"),
    ("cache", replace(WELL, parameters={}), Level.ADVICE, "cache is cold"),
]

SOUND = Client(
    name="mine",
    connection={
        "host": "c1.cluster-abc.eu-west-1.rds.amazonaws.com",
        "sslmode": "verify-full",
        "connect_timeout": "3",
        "keepalives_idle": "2",
        "keepalives_interval": "1",
        "keepalives_count": "5",
        "tcp_user_timeout": "5000",
        "target_session_attrs": "read-write",
    },
    pool={},
    session={"statement_timeout": "5000"},
    retry={"elapsed_s_max": 60.0, "attempts_max": None, "wait_s_first": 0.1, "wait_s_max": 1.0},
    idempotent=True,
    endpoints={
        "cluster": "c1.cluster-abc.eu-west-1.rds.amazonaws.com",
        "i1": "i1.abc.eu-west-1.rds.amazonaws.com",
    },
)


def client(*, without: str = "", **connection: str) -> Client:
    kept = {k: v for k, v in SOUND.connection.items() if k != without}
    return replace(SOUND, connection={**kept, **connection})


QUICK = {"elapsed_s_max": None, "attempts_max": 3, "wait_s_first": 0.1, "wait_s_max": 2.0}
CLIENTS: list[tuple[str, Client, Level, str]] = [
    ("connect-timeout", client(without="connect_timeout"), Level.PROBLEM, "two minutes"),
    ("client-keepalives", client(keepalives="0"), Level.PROBLEM, "noticed never"),
    ("client-keepalives", client(without="keepalives_idle"), Level.PROBLEM, "after 7205 s"),
    ("tcp-user-timeout", client(without="tcp_user_timeout"), Level.PROBLEM, "about 15 min"),
    ("demoted-writer", client(without="target_session_attrs"), Level.PROBLEM, "25006"),
    (
        "demoted-writer",
        replace(client(without="target_session_attrs"), pool={"pool_pre_ping": True}),
        Level.PROBLEM,
        "pool_pre_ping passes there",
    ),
    ("statement-deadline", replace(SOUND, session={}), Level.ADVICE, "no limit on a statement"),
    ("retry-budget", replace(SOUND, retry=QUICK), Level.ADVICE, "after 3 attempts, about 0 s"),
    ("repeated-writes", replace(SOUND, idempotent=False), Level.ADVICE, "is done twice"),
    ("endpoint", client(host=SOUND.endpoints["i1"]), Level.PROBLEM, "stays what it is"),
    ("endpoint", client(host="10.0.0.1"), Level.PROBLEM, "10.0.0.1"),
    ("tls", client(sslmode="require"), Level.ADVICE, "sslmode is require"),
]

FRESH = Machine(
    versions={"psycopg": "3.2.0", "sqlalchemy": "2.0.30", "boto3": "1.40.1", "locust": "2.32.0"},
    sysctl={"net.ipv4.tcp_retries2": 8},
)
MACHINES: list[tuple[str, Machine, Level, str]] = [
    ("versions", replace(FRESH, versions={"psycopg": "3.1.13"}), Level.PROBLEM, "blocks gevent"),
    ("kernel", replace(FRESH, sysctl={"net.ipv4.tcp_retries2": 15}), Level.ADVICE, "it is 15"),
    ("dns-caches", replace(FRESH, caching=("nscd",)), Level.ADVICE, "caches DNS"),
]

RULES: dict[str, Rule[Any]] = {r.name: r for r in (*TARGET_RULES, *CLIENT_RULES, *MACHINE_RULES)}


@pytest.mark.parametrize(("rule", "seen", "level", "what"), [*TARGETS, *CLIENTS, *MACHINES])
def test_a_rule_finds_what_is_planted_and_says_how_to_mend_it(
    rule: str, seen: Any, level: Level, what: str
) -> None:
    found = list(RULES[rule].findings(seen))
    assert level in {f.level for f in found}
    assert any(what in f.what for f in found), found
    assert all(f.fix for f in found)


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_says_that_the_healthy_are_well(rule: str) -> None:
    healthy = {
        **dict.fromkeys((r.name for r in TARGET_RULES), WELL),
        **dict.fromkeys((r.name for r in CLIENT_RULES), SOUND),
        **dict.fromkeys((r.name for r in MACHINE_RULES), FRESH),
    }
    assert [f.level for f in RULES[rule].findings(healthy[rule])] == [Level.OK]


def test_every_rule_has_a_planted_defect() -> None:
    assert {case[0] for case in (*TARGETS, *CLIENTS, *MACHINES)} == set(RULES)


def test_a_serverless_reader_that_follows_the_writer_is_well() -> None:
    assert [f.level for f in RULES["sizes"].findings(patient(members=SERVERLESS))] == [Level.OK]


def test_the_worst_comes_first() -> None:
    sick = replace(WELL, ttl_s={"cluster": 60}, parameters={})
    findings = examine(sick, (SOUND,), FRESH)
    assert [f.rule for f in findings[:2]] == ["names", "cache"]
    assert worst(findings) is Level.PROBLEM
    assert worst(examine(WELL, (SOUND,), FRESH)) is Level.OK


@pytest.mark.parametrize(
    "text",
    [
        "postgresql+psycopg://app:hush@db.example/shop?connect_timeout=3",
        "postgresql://app:hush@db.example/shop?connect_timeout=3",
        "host=db.example dbname=shop user=app password=hush connect_timeout=3",
    ],
)
def test_a_connection_string_is_read_without_its_password(text: str) -> None:
    found = parameters_of(text)
    assert found == {"host": "db.example", "dbname": "shop", "user": "app", "connect_timeout": "3"}


@pytest.mark.parametrize("text", ["mysql+pymysql://app:hush@h/x", "host=h nonsense", "://"])
def test_a_wrong_string_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(DefinitionError, match="--dsn") as refused:
        parameters_of(text)
    assert "hush" not in str(refused.value)
