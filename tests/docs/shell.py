"""A page's commands in one shell, one block after the other, as a reader types them into a Farebox of the page's own.

Pages name what only a reader knows in capitals (`MERCHANT`, `KEY_ID`), or by ids and hosts that nobody has. In their
place stands what this Farebox has; `farebox` is the one of this environment.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.docs.pages import Block

TIMEOUT_S: Final = 180
_BOUNDARY: Final = "\x1e"
_HOSTS: Final = re.compile(r"https?://(?:pay\.example|farebox\.example|127\.0\.0\.1:8000)(?![\w.])")
_FOLDERS: Final = re.compile(r"(?<![\w.$}])/(?:srv|var/lib|var/log|etc|tmp)/")
_AHEAD: Final = re.compile(r"((?:--(?:expires|starts)|farebox price .*--from|\"(?:startsAt|expiresAt)\":) \"?)\d{4}-")
"""Times that a page means to come, whenever it is read."""

_IDS: Final = {
    r"mer_[0-9A-Z]{8,}": "MERCHANT",
    r"fbm_(?:\.\.\.|[0-9A-Z]{8,})": "KEY",
    r"fbs_(?:\.\.\.|[0-9A-Z]{8,})": "SERVICE_KEY",
    r"key_[0-9A-Z]{8,}": "KEY_ID",
    r"price_[0-9A-Z]{8,}": "PRICE_ID",
    r"grant_[0-9A-Z]{8,}": "GRANT",
    r"hold_[0-9A-Z]{8,}": "HOLD",
    r"xfer_[0-9A-Z]{8,}": "TRANSFER",
    r"dest_[0-9A-Z]{8,}": "DESTINATION",
}
"""What ids look like, and the variable of the shell that holds one of the kind."""

_NAMES: Final = (*_IDS.values(), "REPOSITORY", "SUPPORT_KEY", "USER_ID", "EVENT", "REQUEST", "SERVICE_ID")
_WORD: Final = re.compile(rf"(?<![\w$\{{-])(?:{'|'.join(sorted(set(_NAMES), key=len, reverse=True))})(?![\w=:])")

# `field apiKey` prints one member of the JSON document that comes in.
_FUNCTIONS: Final = f"""
ended() {{ printf '\\n{_BOUNDARY}= %s\\n' "$1"; }}
field() {{ python3 -c 'import json, sys
value = json.load(sys.stdin)
for name in sys.argv[1].split("."):
    value = value[int(name)] if name.isdigit() else value[name]
print(value)' "$1"; }}
"""


# Statements for the page's own database, as its reader gives them to `sqlite3`.
_SQL: Final = """import os, sqlite3, sys
database = sqlite3.connect(os.environ["FAREBOX_DATABASE_URL"].removeprefix("sqlite:///"))
database.execute("PRAGMA foreign_keys = ON")
database.executescript(sys.stdin.read())"""


class PageError(AssertionError):
    """A block of a page did not do what it says."""


@dataclass(frozen=True)
class Printed:
    """The text that a block printed, and the status that its last command ended with."""

    status: int
    text: str


def needs_server(block: Block) -> bool:
    """Tell whether a block asks a server."""
    return (
        block.language == "http"
        or _HOSTS.search(block.text) is not None
        or "FAREBOX_URL" in block.text + block.marks.get("prepare", "")
    )


def run(blocks: Iterable[Block], *, folder: Path, url: str, environment: Mapping[str, str]) -> dict[int, Printed]:
    """Run blocks in their order in one shell, and return what each printed, by its line.

    Raises:
        PageError: A block failed that does not say it would, or the other way round.
    """
    blocks = list(blocks)
    script = ["set -u", f"trap 'ended $?; kill $(jobs -p) 2> /dev/null || true' EXIT{_FUNCTIONS}"]
    for block in blocks:
        if prepare := block.marks.get("prepare"):
            script.append(f"set -e\n{_here(prepare, url, folder)}")
        is_fine = _status(block) == "0"
        script.append(f"printf '\\n{_BOUNDARY}%s\\n' {block.line}")
        script.append(f"set {'-e' if is_fine else '+e'}\n{_command(block, url, folder)}\nended $?")
    variables = {name: value for name, value in os.environ.items() if not name.startswith("FAREBOX_")}
    variables |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "FAREBOX_URL": url, **environment}
    with subprocess.Popen(
        ["bash", "-o", "pipefail", "-s"],
        cwd=folder,
        env=variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as shell:
        try:
            output, _ = shell.communicate("main() {\n" + "\n".join(script) + "\n}\nmain < /dev/null", timeout=TIMEOUT_S)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
    return _told(blocks, output)


def _told(blocks: list[Block], output: str) -> dict[int, Printed]:
    told: dict[int, Printed] = {}
    pieces = re.split(rf"\n{_BOUNDARY}(\d+)\n", output)
    printed = dict(zip(pieces[1::2], pieces[2::2], strict=True))
    for block in blocks:
        text, _, status = printed.get(str(block.line), pieces[0]).partition(f"\n{_BOUNDARY}= ")
        ended = status.split()[0] if status else "none"
        if ended != _status(block):
            wrong = f"{block.place}: it should have ended with {_status(block)}, and ended with {ended}"
            raise PageError(f"{wrong}\n{block.text}\n--- printed ---\n{text}")
        told[block.line] = Printed(int(ended), text)
    return told


def _status(block: Block) -> str:
    return block.marks.get("exits with", "0")


def _command(block: Block, url: str, folder: Path) -> str:
    text = _here(block.text, url, folder)
    match block.language:
        case "http":
            return _request(text, url)
        case "python":
            return f"python3 - <<'END_OF_BLOCK'\n{text}\nEND_OF_BLOCK"
        case "sql":
            return f"python3 -c '{_SQL}' <<'END_OF_BLOCK'\n{text}\nEND_OF_BLOCK"
    return text


def _request(text: str, url: str) -> str:
    """Return the curl that makes a request which a page shows as HTTP, with a key that may."""
    first, *rest = text.strip().splitlines()
    method, path = first.split()[:2]
    while rest and re.match(r"[A-Za-z-]+: ", rest[0]):
        rest.pop(0)
    body = "\n".join(rest).strip()
    key = "SUPPORT_KEY" if path.startswith("/api/admin") else "SERVICE_KEY" if method == "POST" else "KEY"
    path = _variables(re.sub(r"\{(\w+)\}", lambda name: _name_of(name[1]), path))
    data = (
        f"-H 'content-type: application/json' -d @- <<END_OF_BLOCK\n{_variables(body)}\nEND_OF_BLOCK\n" if body else ""
    )
    return f'curl -sS --fail-with-body -X {method} "{url}{path}" -H "x-api-key: ${key}" {data}'


def _name_of(parameter: str) -> str:
    names = {"merchant": "MERCHANT", "merchant_id": "MERCHANT", "key_id": "KEY_ID", "price_id": "PRICE_ID"}
    names |= {"grant_id": "GRANT", "hold_id": "HOLD", "user_id": "USER_ID", "destination_id": "DESTINATION"}
    return names.get(parameter, parameter.upper())


def _variables(text: str) -> str:
    """Put a variable in the place of each name in capitals; the quotes of text that is quoted singly end for it."""

    def variable(word: re.Match[str]) -> str:
        before = text[text.rfind("\n", 0, word.start()) + 1 : word.start()]
        return f"'\"${{{word[0]}}}\"'" if before.count("'") % 2 else f"${{{word[0]}}}"

    return _WORD.sub(variable, text)


def _here(text: str, url: str, folder: Path) -> str:
    """Put what this Farebox has in the place of what a page names."""
    for pattern, name in _IDS.items():
        text = re.sub(pattern, name, text)
    text = _AHEAD.sub(rf"\g<1>{time.gmtime().tm_year + 1}-", text)
    text = _FOLDERS.sub(lambda match: f"{folder}{match[0]}", _HOSTS.sub(url, text))
    return _variables(text)
