"""The answers of faults: what a failing service, or a proxy in front of it, sends instead of the true answer."""

from http import HTTPStatus
from typing import Final

from pydantic import JsonValue
from pydantic_core import to_json

from worker.demo.upstream.faults import Status, WrongContent
from worker.demo.upstream.service import Answer, Service

_JSON: Final = "application/json"
_OCTETS: Final = "application/octet-stream"
_TEXT: Final = "text/plain; charset=UTF-8"
# These come from in front of the service, or before it counts: no figures of the limit, nothing counted.
_UNCOUNTED: Final = frozenset({401, 429, 502, 503, 504, *range(300, 400)})
_NO_CUSTOMER: Final[JsonValue] = {"ok": True}


def answer_of(
    failure: Status | WrongContent, true_answer: Answer | None, service: Service, authorization: str | None, now: float
) -> Answer:
    """The answer of *failure*. *true_answer*: the request was carried out before; else it is counted here if due."""
    status = failure.status if isinstance(failure, Status) else 200
    figures: dict[str, str] = {}
    if true_answer is not None:
        figures = {name: value for name, value in true_answer.headers.items() if name.lower().startswith("ratelimit")}
    elif status not in _UNCOUNTED:
        admitted = service.admit(authorization, now)
        if isinstance(admitted, Answer):
            return admitted
        figures = service.headers(_JSON, admitted[1])
        figures.pop("Content-Type", None)
        figures.pop("content-type", None)
    content_type, body = _content(failure)
    headers = {"Content-Type": content_type, **figures}
    if isinstance(failure, Status):
        if failure.location is not None:
            headers["Location"] = failure.location
        if failure.retry_after is not None:
            headers["Retry-After"] = str(failure.retry_after)
        if status == 429 and service.windows.limit is not None:
            headers |= _exhausted(service, failure.retry_after)
    applied = true_answer is not None and true_answer.applied
    return Answer(status, headers, body, applied, true_answer is not None and true_answer.created)


def _exhausted(service: Service, retry_after: int | None) -> dict[str, str]:
    headers = {
        "RateLimit-Policy": service.windows.policy,
        "RateLimit-Limit": str(service.windows.limit),
        "RateLimit-Remaining": "0",
    }
    return headers if retry_after is None else headers | {"RateLimit-Reset": str(retry_after)}


def _content(failure: Status | WrongContent) -> tuple[str, bytes]:
    """Content type and body: those of the rule, else those the service has for the status."""
    if failure.text is not None:
        return failure.content_type or _TEXT, failure.text.encode()
    if "body" in failure.model_fields_set:
        return failure.content_type or _JSON, to_json(failure.body)
    content_type, body = (_JSON, to_json(_NO_CUSTOMER)) if isinstance(failure, WrongContent) else _usual(failure.status)
    return failure.content_type or content_type, body


def _usual(status: int) -> tuple[str, bytes]:
    match status:
        case 401:
            return _OCTETS, b"Invalid API key"
        case 404:
            return _OCTETS, b"Customer not found"
        case 429:
            return _TEXT, b"Rate limit exceeded"
        case 403:
            return _JSON, to_json({"error": "Forbidden", "description": "Insufficient permissions."})
        case 502 | 503 | 504:
            return "text/html", f"<html><body><h1>{status} {_phrase(status)}</h1></body></html>\n".encode()
        case _ if status < 400:
            return _TEXT, b""
        case _:
            return _JSON, to_json({"error": _phrase(status)})


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in {known.value for known in HTTPStatus} else "Error"
