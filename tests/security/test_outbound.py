"""Whom Farebox calls: the database and the mail server that the settings name, and webhooks and chats past a guard."""

import ast
from pathlib import Path
from typing import Final

SOURCES: Final = Path(__file__).parents[2] / "src" / "farebox"

CALLERS: Final = {
    # By a socket it asks for this machine's own name alone.
    "alerts/smtp.py": {"aiosmtplib", "socket", "ssl"},
    **{
        f"storage/postgres/{name}.py": {"asyncpg"}
        for name in ("errors", "examination", "hosts", "identity", "pool", "snapshot", "unlocked")
    },
    # It looks up whether the host that is listened on is this machine alone.
    "cli/serving/public_url.py": {"socket"},
    # It tries whether a port is free, and serves.
    "cli/serving/serve.py": {"socket"},
    # It listens for what asks for metrics.
    "metrics/port.py": {"socket"},
    # A server's first process listens; its workers take connections, and those of a successor get the same sockets.
    **{
        name: {"socket"}
        for name in (
            *("cli/serving/first_process.py", "handover.py"),
            *("http/connection.py", "http/listener.py", "http/worker.py"),
        )
    },
    # A ledger is copied to the database that the command names.
    "moving/postgres_database.py": {"asyncpg"},
    # It asks the server that the settings name how it is.
    "cli/doctor/asking.py": {"httpx2"},
    # It asks the server that it has just started.
    "cli/demo.py": {"http.client", "socket"},
    # The settler asks the server that its settings name, and listens for syslog.
    **{f"settle/{name}.py": {"farebox_client"} for name in ("applying", "program", "settler")},
    "settle/streams.py": {"socket"},
    # Webhooks and chats: it looks their names up, and connects to the addresses alone that the guard allows.
    "webhooks/connecting.py": {"httpcore2", "socket", "ssl"},
    # It sends to them by those connections, and trusts the certificates that this machine trusts.
    "webhooks/sender.py": {"httpcore2", "httpx2", "ssl"},
    # A merchant's own program, which Farebox shows but does not run.
    "web/examples/balance.py": {"urllib.request"},
}
"""Which files use what can reach another machine."""

REACHING: Final = {
    *("aiohttp", "aiosmtplib", "asyncpg", "farebox_client", "ftplib", "http.client"),
    *("httpcore", "httpcore2", "httpx", "httpx2", "imaplib", "poplib", "requests", "smtplib"),
    *("socket", "ssl", "telnetlib", "urllib.request", "urllib3", "webbrowser", "websockets", "xmlrpc"),
}
REACHING_CALLS: Final = {"open_connection", "create_connection", "sock_connect", "open_unix_connection"}


def _imported(tree: ast.Module) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_only_these_files_can_reach_another_machine() -> None:
    found = {}
    for path in SOURCES.rglob("*.py"):
        reaching = {
            wanted
            for name in _imported(ast.parse(path.read_text(encoding="utf-8")))
            for wanted in REACHING
            if name == wanted or name.startswith(f"{wanted}.")
        }
        if reaching:
            found[path.relative_to(SOURCES).as_posix()] = reaching
    assert CALLERS == found


def test_nobody_opens_a_connection_by_the_loop() -> None:
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                assert node.attr not in REACHING_CALLS, path
