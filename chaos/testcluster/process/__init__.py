"""The server process of test clusters, and what starts, finds and ends it."""
