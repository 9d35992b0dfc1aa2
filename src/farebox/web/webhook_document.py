"""The part of the OpenAPI document that tells of webhooks: what is sent for each type of event, and its headers."""

from typing import Any, Final

from farebox.presenters.events import VERSION, EventData, event_schemas

Json = dict[str, Any]

_TRACEPARENT: Final = "traceparent"
_HEADERS: Final = {
    "webhook-id": (
        "The same at each attempt: have you had it, answer 200 and do nothing.",
        "^alert_[0-9A-HJKMNP-TV-Z]{21}_dest_[0-9A-HJKMNP-TV-Z]{13}$",
    ),
    "webhook-timestamp": ("When this attempt was made, in seconds since 1970.", "^[0-9]+$"),
    "webhook-signature": (
        "By Standard Webhooks: `v1,` and the HMAC-SHA256 in base64; two of them, with a space between, while a secret "
        "takes another's place.",
        "^v1,[A-Za-z0-9+/]{43}=( v1,[A-Za-z0-9+/]{43}=)?$",
    ),
    _TRACEPARENT: (
        "By W3C's Trace Context: the span of the request that caused the event. Not sent if that was not traced.",
        "^00-[0-9a-f]{32}-[0-9a-f]{16}-01$",
    ),
}


def data_types() -> list[type[EventData]]:
    """List what the data of events look like."""
    return list(dict.fromkeys(kind for _, kind in event_schemas()))


def webhooks(schema_of: dict[type, Json], example_of: dict[type, Any]) -> Json:
    """Describe the webhook of each type of event.

    Args:
        schema_of: the schema of each of `data_types()`.
        example_of: an example of each.
    """
    return {name: {"post": _operation(name, kind, schema_of[kind], example_of[kind])} for name, kind in event_schemas()}


def _operation(name: str, kind: type[EventData], schema: Json, example: Any) -> Json:
    time = {"type": "string", "format": "date-time", "description": "When it happened: RFC 3339, UTC."}
    body = {
        "type": "object",
        "properties": {
            "type": {"const": name},
            "version": {"const": VERSION, "description": "Of what events look like; fields may be added to it."},
            "timestamp": time,
            "data": schema,
        },
        "required": ["type", "version", "timestamp", "data"],
    }
    told = {"type": name, "version": VERSION, "timestamp": "2026-01-31T12:00:00.000000Z", "data": example}
    words = (kind.__doc__ or "").strip()
    return {
        "operationId": name.replace(".", "_"),
        "summary": name,
        "description": words,
        "security": [],
        "parameters": [
            {
                "name": header,
                "in": "header",
                "required": header != _TRACEPARENT,
                "description": description,
                "schema": {"type": "string", "pattern": pattern},
            }
            for header, (description, pattern) in _HEADERS.items()
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body, "example": told}}},
        "responses": {
            "2XX": {"description": "Taken: it is not sent again."},
            "410": {"description": "No more is wanted: the destination is disabled."},
            "default": {"description": "It is sent again, later and later, for three days."},
        },
    }
