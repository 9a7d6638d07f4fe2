"""One Aurora cluster: its instances, failovers, changes, endpoints and defects."""
