"""Names of errors by which a client learns that its connection is gone.

`loadgen` gives the names, checks read them from the records: both find them here. Most are
drivers' own ideas, since a server that is gone gives no SQLSTATE.
"""

from __future__ import annotations

NO_SQLSTATE = "-----"
"""Stands where an error has no SQLSTATE."""
CONNECTION_LOST = f"{NO_SQLSTATE} ConnectionLost"
CONNECTION_RESET = f"{NO_SQLSTATE} ConnectionReset"
SERVER_CLOSED = f"{NO_SQLSTATE} ServerClosedConnection"
CONNECTION_TIMEOUT = f"{NO_SQLSTATE} ConnectionTimeout"
NO_ROUTE = f"{NO_SQLSTATE} NoRoute"

GONE_BY_NAME = (
    CONNECTION_LOST,
    CONNECTION_RESET,
    SERVER_CLOSED,
    f"{NO_SQLSTATE} InterfaceError",  # asyncpg's own, where it refuses a connection
    f"{NO_SQLSTATE} OperationalError",  # psycopg's, of a cause that is in no list
    f"{NO_SQLSTATE} ConnectionError",  # asyncpg's, of a socket that ended
    # The AWS wrapper's, after it has followed a failover, or has not been able to.
    f"{NO_SQLSTATE} FailoverSuccessError",
    f"{NO_SQLSTATE} TransactionResolutionUnknownError",
    f"{NO_SQLSTATE} FailoverFailedError",
)
"""Without a SQLSTATE: the connection had broken by then, no telling when."""
GONE_BY_STATE = ("08", "57P0")
"""SQLSTATEs begin with these when a server ends the session, or a driver says it in SQL's words."""
GONE_IF_OPEN = (CONNECTION_TIMEOUT, NO_ROUTE)
"""Names that an open connection ends with, and that mean no more than no way while connecting."""
