"""`report.html`: one file that needs nothing else, told with the verdict and the numbers first.

The page is complete without its script, which only adds hovering, zooming and folding. It asks for
nothing over the network, and its content security policy says so to the browser.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from chaos.model.operation import PROBE_SLOW_S, SLOW_S
from reports import (
    attempts,
    availability,
    capacity,
    connections,
    differences,
    latency,
    reads,
    retries,
    settings,
    story,
    tables,
    timeline,
    windows,
    words,
    workers,
)
from reports.read import TEST_CLUSTER, Report, load

REPORT_NAME = "report.html"
_TEMPLATES = Path(__file__).parent / "templates"
_MERGES = 500


def render(folder: Path) -> Path:
    """Write the report of a run folder and return its path; an older one is replaced at once.

    Raises:
        OSError: it is no run folder, or it cannot be written.
        ValueError: one of its files is damaged; says where.
    """
    path = folder / REPORT_NAME
    text = page(load(folder))
    partial = path.with_name(f".{REPORT_NAME}.{os.getpid()}")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def page(report: Report) -> str:
    """Return the whole page."""
    script = (_TEMPLATES / "timeline.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _templates().render(
        style=(_TEMPLATES / "report.css").read_text(encoding="utf-8"),
        script=script,
        script_hash=f"sha256-{digest}",
        **_told(report),
    )


@cache
def _templates() -> Template:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_cleaned,
    )
    environment.filters |= {
        "count": words.count,
        "duration": words.duration,
        "instant": words.instant,
    }
    return environment.get_template("report.html.j2")


def _cleaned(value: Any) -> Any:
    """Drop control characters, which error messages may hold and a page must not."""
    return words.clean(value) if type(value) is str else value


def _told(report: Report) -> Mapping[str, Any]:
    history = report.history
    merge_s = (report.recording.end_s - report.recording.start_s) / _MERGES
    errors = {
        arm: attempts.errors(history.arms[arm], history.origin_ns, merge_s=merge_s)
        for arm in report.arms
    }
    return {
        "report": report,
        "judgement": report.judgement,
        "recording": report.recording,
        "headline": tables.headline(report),
        "test_cluster": report.judgement.cluster_kind == TEST_CLUSTER,
        "started": report.wall(0.0).strftime("%Y-%m-%d %H:%M:%S UTC"),
        "facts": tuple(tables.key_facts(report)),
        "reasons": tables.reasons(report),
        "interruptions": tables.interruptions(report),
        "findings": tables.others(report, assumptions=False),
        "assumptions": tables.others(report, assumptions=True),
        "writes": report.writes,
        "ledger": history.ledger,
        "timeline": timeline.build(report, errors),
        "faults": [
            (
                fault,
                tables.instants(report, fault),
                words.duration(tables.scale_top_s(report, fault)),
            )
            for fault in report.judgement.faults
        ],
        "connections": connections.section(report),
        "rds_events": tuple(history.of_kind("event")),
        "seconds": history.seconds,
        **_felt(report),
        **_data(report),
        "profile": history.environment.get("profile"),
        "errors": errors,
        "arms": settings.arms(report),
        "settings": settings.of_arms(report),
        "latencies": latency.latencies(report),
        "latencies_untold": latency.untold(report),
        "latency_columns": latency.COLUMNS,
        "generators": latency.generators(report),
        "workers": workers.rows(report),
        "sentences": tuple(story.tell(history)),
        "definition": _definition(report),
        "environment": tuple(settings.environment(report)),
        "late_s": SLOW_S,
        "probe_late_s": PROBE_SLOW_S,
    }


def _felt(report: Report) -> Mapping[str, Any]:
    """Return what the sections show of windows, availability, retries and differences."""
    return {
        "windows": windows.windows(report),
        "windows_left_out": windows.left_out(report),
        "brownouts": windows.brownouts(report),
        "brown": windows.brown(report),
        "over_repeats": windows.over_repeats(report),
        "availability": availability.rows(report),
        "differences": differences.rows(report),
        "compared_arms": differences.arms(report),
        "compared_faults": differences.injections(report),
        "retries": retries.rows(report, over="run"),
        "retries_by_fault": retries.rows(report, over="fault"),
        "applied_twice": retries.applied_twice(report),
        "waited_above": retries.waited_above(report),
    }


def _data(report: Report) -> Mapping[str, Any]:
    """Return what the sections show of writes, reads and capacity."""
    return {
        "writes_lost": reads.lost(report),
        "writes_doubled": reads.doubled(report),
        "balances": reads.sums(report),
        "held": reads.held(report),
        "reads_shown": reads.rows(report),
        "reads_back": reads.furthest_back(report),
        "serverless": capacity.told(report),
        "capacity_steps": capacity.steps(report),
        "capacity_levels": capacity.levels(report),
        "capacity_broken": capacity.broken(report),
        "capacity_resumes": capacity.resumes(report),
    }


def _definition(report: Report) -> str:
    path = report.history.folder / "experiment.yaml"
    if path.exists():
        return path.read_text(encoding="utf-8")
    return json.dumps(dict(report.history.experiment), indent=2)
