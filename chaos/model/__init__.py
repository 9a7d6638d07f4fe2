"""Values that every layer speaks in; nothing here calls a service, a database or a clock."""
