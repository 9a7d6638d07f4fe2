"""Statements written with `:name`, in the style of each driver."""

from __future__ import annotations

import pytest

from loadgen import tables
from loadgen.drivers.base import Statement
from loadgen.drivers.seated import Statements
from loadgen.drivers.statements import Numbered, named


@pytest.mark.parametrize(
    ("sql", "psycopg", "asyncpg", "names"),
    [
        ("SELECT :a, :b, :a", b"SELECT %(a)s, %(b)s, %(a)s", "SELECT $1, $2, $1", ("a", "b")),
        ("SELECT x::text", b"SELECT x::text", "SELECT x::text", ()),
        ("SELECT 5 % :n", b"SELECT 5 %% %(n)s", "SELECT 5 % $1", ("n",)),
        ("SELECT 1", b"SELECT 1", "SELECT 1", ()),
    ],
)
def test_parameters_are_written_as_the_driver_wants_them(
    sql: str, psycopg: bytes, asyncpg: str, names: tuple[str, ...]
) -> None:
    assert named(sql) == psycopg
    assert Numbered.of(sql) == Numbered(asyncpg, names)


def test_values_come_in_the_order_of_their_numbers() -> None:
    numbered = Numbered.of(tables.WRITE.format(table="t"))
    assert numbered.names == ("arm", "write_id", "attempt")
    assert numbered.arguments({"attempt": 3, "arm": "a", "write_id": 2}) == ["a", 2, 3]


def test_a_statement_is_compiled_once() -> None:
    statements, statement = Statements(), Statement("SELECT :a")
    assert statements[statement] is statements[statement]
