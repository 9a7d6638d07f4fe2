"""Steady, open-loop observers of every endpoint and instance, in one process of their own.

Operations start on a fixed grid of the monotonic clock whatever becomes of the earlier ones, so
an outage cannot make its own observer wait (coordinated omission). Each endpoint is watched by
sessions that take turns. They wait for their answers however late: the first one tells to the
millisecond when a frozen server came back. Once they are all stuck, spare sessions connect anew,
which shows a server that lost its old connections, a changed name or a new writer.

Whoever hangs up on a frozen server makes it work when it thaws: a session given up ends a server
process (4 ms measured), a connect given up starts one and ends it (5 ms). With half of the sessions
hanging up at a deadline, the first answer waited 10 to 60 ms behind those on two cores.
"""
