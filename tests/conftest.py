"""The fixtures' plugin list: one concern each, below `tests/fix_*.py`; append yours."""

pytest_plugins = [
    "fix_history",
    "fix_postgres",
    "fix_testcluster",
    "fix_control_plane",
    "fix_server",
    "fix_exec",
    "fix_rds",
    "fix_rds_model",
    "fix_standalone",
    "fix_cloudwatch",
    "fix_cluster_life",
    "fix_embedded",
    "fix_report",
    "fix_browser",
    "fix_faults",
    "fix_clients",
]
