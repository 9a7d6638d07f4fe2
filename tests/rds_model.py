"""boto3 clients that hold every answer of the control plane to the service's own model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from botocore.validate import ParamValidator

NOTES = "GAMEDAY_ANSWERED"
"""Names a file in which every answer that was valid is noted, for `benchmarks/api_coverage.py`."""


def holding_to_the_model(client: Any) -> Any:
    """Return the client, whose every answer is from now on checked against the output shape."""
    service = client.meta.service_model

    def check(parsed: dict[str, Any], model: Any, http_response: Any, **_: Any) -> None:
        if http_response.status_code >= 300:
            errors = [(s.name, s.metadata.get("error") or {}) for s in service.error_shapes]
            codes = {error.get("code", name) for name, error in errors}
            codes |= {s.name for s in service.error_shapes} | COMMON_ERRORS
            assert parsed["Error"]["Code"] in codes, parsed["Error"]
            assert parsed["Error"]["Message"], parsed
            return
        body = {name: value for name, value in parsed.items() if name != "ResponseMetadata"}
        if model.output_shape is not None:
            report = ParamValidator().validate(body, model.output_shape)
            assert not report.has_errors(), f"{model.name}: {report.generate_report()}"
        else:
            assert body == {}, model.name
        if os.environ.get(NOTES):
            with Path(os.environ[NOTES]).open("a") as notes:
                notes.write(f"{service.service_name} {model.name}\n")

    client.meta.events.register("after-call", check)
    return client


COMMON_ERRORS = {
    "InternalFailure",
    "InvalidAction",
    "InvalidParameterCombination",
    "InvalidParameterValue",
    "MissingAuthenticationToken",
    "MissingParameter",
    "SignatureDoesNotMatch",
    "ValidationError",
}
"""What every operation may answer and no model lists."""
