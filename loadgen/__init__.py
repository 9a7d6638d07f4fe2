"""Traffic, probes and the ledger: what clients do to the cluster, and what they saw."""
