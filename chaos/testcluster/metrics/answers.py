"""What every instance is asked once a second, and its answer."""

from __future__ import annotations

from dataclasses import dataclass

from chaos.testcluster.metrics.asking import Row
from chaos.testcluster.postgres.configuration import CONTROL_ROLE

# Connections and active sessions are clients' alone; transactions are all, the service's own too.
QUESTION = f"""
SELECT extract(epoch FROM clock_timestamp()),
       (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
             ELSE pg_current_wal_lsn() END) - '0/0'::pg_lsn,
       extract(epoch FROM clock_timestamp() - pg_postmaster_start_time()),
       sessions.connected, sessions.busy, sessions.on_cpu,
       work.commits, work.deadlocks, work.hits, work.reads
FROM (SELECT count(*) AS connected,
             count(*) FILTER (WHERE state = 'active') AS busy,
             count(*) FILTER (WHERE state = 'active' AND wait_event IS NULL) AS on_cpu
      FROM pg_stat_activity
      WHERE backend_type = 'client backend' AND usename IS DISTINCT FROM '{CONTROL_ROLE}') AS sessions,
     (SELECT sum(xact_commit) AS commits, sum(deadlocks) AS deadlocks,
             sum(blks_hit) AS hits, sum(blks_read) AS reads FROM pg_stat_database) AS work
"""  # noqa: S608 - made of constants


@dataclass(frozen=True, slots=True)
class Answer:
    """What an instance said of itself; counters are since its start."""

    at_s: float
    lsn: int
    uptime_s: float
    connections: float
    busy: float
    on_cpu: float
    commits: float
    deadlocks: float
    hits: float
    reads: float

    @classmethod
    def of(cls, row: Row) -> Answer:
        """Read a row of `QUESTION`."""
        numbers = [float(value or 0) for value in row]
        return cls(numbers[0], int(row[1] or 0), *numbers[2:])
