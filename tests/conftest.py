"""The fixtures' plugin list: one concern each, below `tests/fix_*.py`; append yours."""

pytest_plugins = [
    "fix_history",
    "fix_control_plane",
    "fix_rds",
]
