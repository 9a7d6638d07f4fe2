"""The name server, and how it misbehaves."""
