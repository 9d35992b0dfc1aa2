"""Forms as pages show them: found by where they lead, and filled in as a browser does."""

from collections.abc import Mapping
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urlencode

from tests.support.app_client import Reply

Fields = list[tuple[str, str]]


class Forms(HTMLParser):
    """The forms of a page: where each leads, and what it sends if nothing is typed."""

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self.forms: list[tuple[str, Fields]] = []
        self._select = ""
        self.feed(reply.body.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "form" and values.get("method") == "post":
            self.forms.append((values.get("action") or "", []))
        elif tag == "select":
            self._select = values.get("name") or ""
        elif self.forms and tag == "input" and (values.get("type") != "checkbox" or "checked" in values):
            self._add(values.get("name"), values.get("value"))
        elif self.forms and tag == "option" and "selected" in values:
            self._add(self._select, values.get("value"))

    def _add(self, name: str | None, value: str | None) -> None:
        self.forms[-1][1].append((name or "", value or ""))


def filled_in(reply: Reply, action: str, typed: Mapping[str, str], hidden: Mapping[str, str]) -> bytes:
    """Fill in the form that leads to `action`, of several the one with these hidden fields, and write its body."""
    forms = [
        fields for leads_to, fields in Forms(reply).forms if leads_to == action and set(hidden.items()) <= set(fields)
    ]
    assert len(forms) == 1, (action, hidden, [leads_to for leads_to, _ in Forms(reply).forms])
    left = [(name, value) for name, value in forms[0] if name not in typed]
    return urlencode([*left, *typed.items()]).encode()


def with_file(body: bytes, data: bytes) -> tuple[tuple[str, str], bytes]:
    """Write a form's body anew with a file in its field `file`, as browsers do, and the header that tells how."""
    boundary = "a-boundary-of-the-tests"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in parse_qsl(body.decode(), keep_blank_values=True)
        if name != "file"
    ]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="list.json"\r\n'
    parts.append(f"{head}Content-Type: application/json\r\n\r\n".encode() + data + b"\r\n")
    return ("content-type", f"multipart/form-data; boundary={boundary}"), b"".join(
        parts
    ) + f"--{boundary}--\r\n".encode()
