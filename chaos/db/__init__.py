"""The runner's own SQL: who an instance is, asked of the instance itself."""
