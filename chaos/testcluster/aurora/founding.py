"""What a cluster begins with: its first instances, data and user."""

from __future__ import annotations

import itertools

from psycopg import sql

from chaos.testcluster.aurora.core import Core
from chaos.testcluster.postgres.configuration import ADMIN_ROLE, DATABASE
from chaos.testcluster.postgres.node import Node
from chaos.testcluster.records import ClusterSpec, InstanceSpec

_TIER = 1  # AWS's default


def instance_name(spec: ClusterSpec, number: int) -> str:
    """Return the identifier of a first instance; the writer's number is 1."""
    return f"{spec.id}-instance-{number}"


def first_instances(spec: ClusterSpec) -> list[InstanceSpec]:
    """Return the writer and the readers that a cluster is launched with."""
    tiers = itertools.chain([_TIER], spec.reader_tiers, itertools.repeat(_TIER))
    return [
        InstanceSpec(
            id=instance_name(spec, number), instance_class=spec.first_class, promotion_tier=tier
        )
        for number, tier in zip(range(1, spec.readers + 2), tiers, strict=False)
    ]


def set_up(core: Core, writer: Node) -> None:
    """Give the template's user and database the names that were asked for, and the password.

    Raises:
        DatabaseError: the writer ended meanwhile.
    """
    user, database = core.spec.user, core.spec.database
    with writer.connect() as connection:
        if user != ADMIN_ROLE:
            connection.execute(
                sql.SQL("ALTER ROLE {} RENAME TO {}").format(
                    sql.Identifier(ADMIN_ROLE), sql.Identifier(user)
                )
            )
        # As on RDS, where this database belongs to the master user, too.
        connection.execute(
            sql.SQL("ALTER DATABASE postgres OWNER TO {}").format(sql.Identifier(user))
        )
        if database is None or database == "postgres":
            connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(DATABASE)))
        elif database != DATABASE:
            connection.execute(
                sql.SQL("ALTER DATABASE {} RENAME TO {}").format(
                    sql.Identifier(DATABASE), sql.Identifier(database)
                )
            )
    set_password(core, writer)


def set_password(core: Core, writer: Node) -> None:
    """Make the cluster's password the one of its master user.

    Raises:
        DatabaseError: the writer does not answer.
    """
    with writer.connect() as connection:
        connection.execute(
            sql.SQL("ALTER ROLE {} PASSWORD {}").format(
                sql.Identifier(core.spec.user), sql.Literal(core.password)
            )
        )
