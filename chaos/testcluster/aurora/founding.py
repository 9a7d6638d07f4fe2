"""The first data of a cluster, and its first user."""

from __future__ import annotations

from psycopg import sql

from chaos.testcluster.aurora.core import Core
from chaos.testcluster.postgres.configuration import ADMIN_ROLE, DATABASE
from chaos.testcluster.postgres.node import Node


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
