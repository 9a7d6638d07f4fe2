"""REST with JSON bodies: the operation is told by method and path, some of its members too."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from chaos.testcluster.api.wire.base import HttpReply, HttpRequest
from chaos.testcluster.api.wire.typed import JsonCodec
from chaos.testcluster.records import ApiError

_LABEL = re.compile(r"\{(\w+)(\+?)\}")
_IN_BODY = frozenset({"PATCH", "POST", "PUT"})


class RestJsonCodec(JsonCodec):
    """REST-JSON, for operations without members in the query string or in headers."""

    def speaks(self, request: HttpRequest) -> bool:
        """Tell whether the service has an operation at this method and path."""
        return self._found(request) is not None

    def _operation_name(self, request: HttpRequest) -> str:
        found = self._found(request)
        if found is None:
            raise ApiError(
                self.unknown_operation, f"There is no operation {request.method} {request.path}."
            )
        return found[0]

    def _document(self, request: HttpRequest) -> Any:
        found = self._found(request)
        labels = found[1] if found else {}
        if not request.body:
            return labels
        if request.method not in _IN_BODY:
            raise ApiError(self._invalid, "The test cluster offers no query parameters here.")
        document = self._load(request.body)
        return document | labels if isinstance(document, dict) else document

    def _found(self, request: HttpRequest) -> tuple[str, dict[str, str]] | None:
        """Return the operation at a method and path, and what the path's labels say."""
        for name in self.service.operation_names:
            http = self.service.operation_model(name).http
            if http["method"] == request.method and (
                match := _pattern(http["requestUri"]).fullmatch(request.path)
            ):
                return name, {label: unquote(v) for label, v in match.groupdict().items()}
        return None

    def _reply(
        self,
        status: int,
        document: Mapping[str, Any],
        request_id: str,
        headers: Mapping[str, str] | None = None,
    ) -> HttpReply:
        kind = document.get("__type", "").rpartition("#")[2]
        return HttpReply(
            status=status,
            content_type="application/json",
            body=json.dumps(document, allow_nan=False).encode(),
            headers={
                "x-amzn-RequestId": request_id,
                **({"x-amzn-ErrorType": kind} if kind else {}),
                **(headers or {}),
            },
        )


@functools.cache
def _pattern(uri: str) -> re.Pattern[str]:
    """Return what matches the paths of a model's URI (`/safetyLevers/{id}/state`)."""
    parts, last = [], 0
    for label in _LABEL.finditer(uri):
        parts += [re.escape(uri[last : label.start()])]
        parts += [f"(?P<{label[1]}>{'.*' if label[2] else '[^/]*'})"]
        last = label.end()
    return re.compile("".join([*parts, re.escape(uri[last:])]))
