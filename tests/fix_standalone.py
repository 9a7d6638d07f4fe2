"""Stand-alone DB instances made through the API of a served estate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from fix_control_plane import unique_id
from fix_rds_model import Served

from chaos.wait import wait_until

SECRET = "for-tests-only"
TIMEOUT_S = 60


class Instance:
    """One stand-alone instance, and what tests keep asking of it."""

    def __init__(self, served: Served, name: str) -> None:
        self.served = served
        self.name = name

    @property
    def shown(self) -> dict[str, Any]:
        return self.served.instance(self.name)

    @property
    def status(self) -> str:
        status: str = self.shown["DBInstanceStatus"]
        return status

    @property
    def address(self) -> str:
        """Where its name leads to now."""
        (address,) = self.served.behind(self.shown["Endpoint"]["Address"])
        return address

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        parameters = {
            "host": self.address,
            "port": self.shown["Endpoint"]["Port"],
            "user": "boss",
            "dbname": self.shown.get("DBName", "postgres"),
            "password": SECRET,
            "connect_timeout": 10,
            "autocommit": True,
            **options,
        }
        return psycopg.connect(**parameters)

    def sql(self, statement: str) -> Any:
        with self.connect() as session:
            row = session.execute(statement.encode()).fetchone()
        return row[0] if row else None

    def run(self, statement: str) -> None:
        with self.connect() as session:
            session.execute(statement.encode())

    def await_status(self, wanted: str = "available") -> None:
        wait_until(
            lambda: self.status == wanted,
            f"{self.name} to be {wanted}",
            timeout_s=TIMEOUT_S,
            interval_s=0.05,
        )

    def await_(self, statement: str, wanted: Any, what: str) -> None:
        wait_until(
            lambda: self.sql(statement) == wanted,
            what,
            timeout_s=TIMEOUT_S,
            errors=(psycopg.OperationalError,),
        )

    def events(self) -> list[str]:
        """The numbers of its events so far."""
        return [
            e.event_id.removeprefix("RDS-EVENT-")
            for e in self.served.estate.ground.events.all()
            if e.source_id == self.name
        ]

    def await_event(self, number: str, times: int = 1) -> None:
        wait_until(
            lambda: self.events().count(number) >= times, f"event {number}", timeout_s=TIMEOUT_S
        )


def create(served: Served, name: str, **fields: Any) -> Instance:
    request = {
        "DBInstanceIdentifier": name,
        "Engine": "postgres",
        "DBInstanceClass": "db.t4g.medium",
        "AllocatedStorage": 20,
        "MasterUsername": "boss",
        "MasterUserPassword": SECRET,
        "DBName": "shop",
        **fields,
    }
    served.rds.create_db_instance(**request)
    instance = Instance(served, name)
    instance.await_event("0005")
    instance.await_status()
    return instance


def delete(instance: Instance) -> None:
    instance.served.rds.delete_db_instance(
        DBInstanceIdentifier=instance.name, SkipFinalSnapshot=True
    )


@pytest.fixture
def single(served: Served) -> Iterator[Instance]:
    made = create(served, unique_id("single"))
    yield made
    delete(made)
    waiter = served.rds.get_waiter("db_instance_deleted")
    waiter.wait(DBInstanceIdentifier=made.name, WaiterConfig={"Delay": 1, "MaxAttempts": 120})
