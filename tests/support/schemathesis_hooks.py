"""What schemathesis has to know of Farebox and can't be told by its settings; it loads this by itself."""

import json
import os
from pathlib import Path
from typing import Any

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(_: Any, value: Any) -> bytes:
    """Write lines of JSON: a text is lines already, whatever else there is, is one."""
    return value.encode(errors="replace") if isinstance(value, str) else json.dumps(value).encode()


@schemathesis.hook
def before_call(_: Any, case: Any, __: dict[str, Any]) -> None:
    """Let no request close the keys that all requests are made with; the lists of keys tell of these as well."""
    own, spare = os.environ["FAREBOX_TEST_OWN_KEYS"].split(), os.environ["FAREBOX_TEST_SPARE_KEY"]
    if case.path_parameters and case.path_parameters.get("key_id") in own:
        case.path_parameters["key_id"] = spare


@schemathesis.hook
def after_call(_: Any, case: Any, response: Any) -> None:
    """Write down how each operation was answered; another method on its path is not the operation."""
    if case.method == case.operation.method.upper():
        with Path(os.environ["FAREBOX_TEST_TALLY"]).open("a") as tally:
            tally.write(f"{case.operation.label} {response.status_code}\n")
