"""Steady, open-loop observers of every endpoint and instance, in one process of their own.

Operations start on a fixed grid of the monotonic clock whatever becomes of the earlier ones, so
an outage cannot make its own observer wait (coordinated omission). Each endpoint is watched by
sessions that take turns: impatient ones give an answer up at the deadline and connect anew, which
shows a refusing server, a changed name or a new writer at once; patient ones keep waiting, and
their late answer tells to the millisecond when a frozen server came back.
"""
