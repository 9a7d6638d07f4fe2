"""The log of an instance's server, listed and read as RDS offers it; it is one file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from chaos.testcluster.api.describe_standalone import find
from chaos.testcluster.api.engine import Region
from chaos.testcluster.api.lookup import Action, Result, named_instance
from chaos.testcluster.api.selection import Parameters, matching, page
from chaos.testcluster.records import ApiError

LOG_FILE = "error/postgresql.log"
PORTION_MAX = 1 << 20  # bytes


def describe_db_log_files(region: Region, parameters: Parameters) -> Result:
    """DescribeDBLogFiles."""
    matching([], parameters.get("Filters", ()), {})
    status = _log(region, parameters["DBInstanceIdentifier"]).stat()
    written_ms = int(status.st_mtime * 1000)
    is_wanted = (
        parameters.get("FilenameContains", "") in LOG_FILE
        and written_ms >= parameters.get("FileLastWritten", 0)
        and status.st_size >= parameters.get("FileSize", 0)
    )
    log = {"LogFileName": LOG_FILE, "LastWritten": written_ms, "Size": status.st_size}
    shown, marker = page([(LOG_FILE, log)] if is_wanted else [], parameters)
    return {"DescribeDBLogFiles": shown, "Marker": marker}


def download_db_log_file_portion(region: Region, parameters: Parameters) -> Result:
    """DownloadDBLogFilePortion: from a marker on, or without one the end; at most 1 MiB."""
    path = _log(region, parameters["DBInstanceIdentifier"])
    if parameters["LogFileName"] != LOG_FILE:
        raise ApiError(
            "DBLogFileNotFoundFault",
            f"{parameters['LogFileName']} not found; the log file is {LOG_FILE}.",
        )
    count, marker = parameters.get("NumberOfLines"), parameters.get("Marker")
    data = path.read_bytes()
    if marker is None:
        lines = data[-PORTION_MAX:].splitlines(keepends=True)
        portion, end = b"".join(lines[-count:] if count else lines), len(data)
    else:
        if not (marker.isascii() and marker.isdigit()):
            raise ApiError("InvalidParameterValue", f"Invalid marker: {marker:.80}")
        begin = int(marker)
        lines = data[begin : begin + PORTION_MAX].splitlines(keepends=True)
        portion = b"".join(lines[:count])
        end = begin + len(portion)
    return {
        "LogFileData": portion.decode(errors="replace"),
        "Marker": str(end),
        "AdditionalDataPending": end < len(data),
    }


ACTIONS: Mapping[str, Action] = {
    "DescribeDBLogFiles": describe_db_log_files,
    "DownloadDBLogFilePortion": download_db_log_file_portion,
}


def _log(region: Region, name: str) -> Path:
    """Return the log of an instance.

    Raises:
        ApiError: DBInstanceNotFound, or DBInstanceNotReady: its server never ran.
    """
    alone = find(region, name)
    if alone is not None:
        node = alone.active_node()
        path = node.log if node is not None else None
    else:
        engine, _, instance = named_instance(region, name)
        path = engine.log(instance.id)
    if path is None or not path.exists():
        raise ApiError("DBInstanceNotReady", f"DBInstance {name} has no log yet.")
    return path
