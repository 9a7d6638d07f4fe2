"""`junit.xml`: one test case a finding, so that continuous integration shows and keeps them.

A finding that fails is a failure; one that is unknown is an error of type `inconclusive`, which turns
a build red as well, since a run that proves nothing must not pass. What was not judged is skipped. The
first case is the run itself: it did not complete, was not judged, or carries the verdict.
"""

from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree as ET

from chaos.model.verdict import Finding, Verdict
from reports.read import Report, load
from reports.tables import is_interruption
from reports.words import clean, limit, quantity

JUNIT_NAME = "junit.xml"


def render(folder: Path) -> Path:
    """Write the findings of a run folder and return the path; an older file is replaced at once.

    Raises:
        OSError: it is no run folder, or it cannot be written.
        ValueError: one of its files is damaged; says where.
    """
    path = folder / JUNIT_NAME
    tree = ET.ElementTree(suites(load(folder)))
    ET.indent(tree)
    partial = path.with_name(f".{JUNIT_NAME}.{os.getpid()}")
    try:
        tree.write(partial, encoding="utf-8", xml_declaration=True)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def suites(report: Report) -> ET.Element:
    """Return the findings of a run as a `testsuites` element."""
    judgement = report.judgement
    root = ET.Element("testsuites", name="gameday")
    suite = ET.SubElement(root, "testsuite", name=clean(judgement.experiment))
    suite.set("timestamp", report.wall(0.0).strftime("%Y-%m-%dT%H:%M:%S"))
    suite.set("time", f"{report.duration_s:.3f}")
    _properties(suite, report)
    _run_case(suite, report)
    seen: dict[str, int] = {}
    for finding in judgement.findings:
        _case(suite, report, finding, seen)
    for element in (suite, root):
        for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            element.set(name, str(len(suite.findall(f"testcase/{tag}"))))
        element.set("tests", str(len(suite.findall("testcase"))))
    return root


def _properties(suite: ET.Element, report: Report) -> None:
    judgement = report.judgement
    properties = ET.SubElement(suite, "properties")
    for name, value in (
        ("run", judgement.run),
        ("status", judgement.status),
        ("verdict", judgement.verdict.value if judgement.verdict else "not judged"),
        ("cluster", judgement.cluster),
        ("cluster_kind", judgement.cluster_kind),
    ):
        ET.SubElement(properties, "property", name=name, value=clean(value))


def _run_case(suite: ET.Element, report: Report) -> None:
    """Add the run itself: an error where it is no pass for a reason that no finding tells."""
    judgement = report.judgement
    case = _testcase(suite, judgement.experiment, "the run completed and was judged")
    worst = [f.verdict for f in judgement.findings if f.verdict is not None]
    if judgement.status != "completed":
        why = f"the run is {judgement.status}, not completed"
    elif judgement.verdict is None:
        why = "the run was not judged; `gameday judge` judges it"
    elif judgement.verdict is not Verdict.PASS and judgement.verdict not in worst:
        why = f"the verdict is {judgement.verdict.value}"
    else:
        return
    ET.SubElement(case, "error", type="inconclusive", message=clean(why))


def _case(suite: ET.Element, report: Report, finding: Finding, seen: dict[str, int]) -> None:
    about = " ".join(p for p in (finding.arm, finding.operation, finding.endpoint) if p)
    name = f"{finding.check} {about}".strip()
    seen[name] = seen.get(name, 0) + 1
    if seen[name] > 1:
        name = f"{name} #{seen[name]}"
    case = _testcase(suite, f"{report.judgement.experiment}.{finding.check}", name)
    message = clean(f"{_measured(report, finding)}{finding.why}")
    if finding.verdict is Verdict.FAIL:
        ET.SubElement(case, "failure", type="fail", message=message).text = message
    elif finding.verdict is Verdict.UNKNOWN:
        ET.SubElement(case, "error", type="inconclusive", message=message).text = message
    elif finding.verdict is None:
        ET.SubElement(case, "skipped", message=f"not judged: {message}")
    else:
        ET.SubElement(case, "system-out").text = message


def _testcase(suite: ET.Element, classname: str, name: str) -> ET.Element:
    return ET.SubElement(suite, "testcase", classname=clean(classname), name=clean(name))


def _measured(report: Report, finding: Finding) -> str:
    if finding.measured is None:
        return ""
    bound = f", limit {limit(finding.limit, finding.unit)}" if finding.limit is not None else ""
    told = quantity(finding.measured, finding.unit)
    if is_interruption(finding) and finding.from_s is not None and finding.measured:
        to = report.at(finding.to_s, "the end of the recording")
        at = "at least" if report.open_ended(finding) else "at most"
        told = f"{at} {told} from {report.at(finding.from_s)} to {to}"
    return f"{told}{bound}: "
