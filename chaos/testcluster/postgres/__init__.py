"""Single PostgreSQL servers: their programs, data, configuration and processes."""
