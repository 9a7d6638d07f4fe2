"""RDS for PostgreSQL: DB instances without a cluster.

A stand-alone instance is a cluster that is looked at from outside: one name, behind it one node, or with
Multi-AZ two, of which the second is hidden and commits wait for it. So failover, fencing, restarts and
the rest are the cluster's own; this package says what of it a client of RDS sees.
"""
