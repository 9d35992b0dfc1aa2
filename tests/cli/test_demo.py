"""`farebox demo` as a newcomer runs it: what it prints can be pasted, a mail comes, and nothing of it stays."""

import contextlib
import email
import email.policy
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Final

import psutil
import pytest

from farebox.cli.demo import PORT_DEFAULT, endings_waiting
from tests.cli.shell import Shell
from tests.support import plain_http
from tests.support.app_client import Reply, check_envelope

PRINT_TIMEOUT_S: Final = 30
MAIL_TIMEOUT_S: Final = 40
STOP_TIMEOUT_S: Final = 20
LAST_WORDS: Final = "\nThe demo is over; its database and mails are removed.\n"

# However the tests end, a demo ends with them: the guard waits until the pipe from the test process closes.
GUARD: Final = 'cat; kill -TERM "-$1"'

# A shell reads the line as it stands, and this takes curl's place: it tells the words that curl would get.
CURL: Final = """curl() { printf '%s\\0' "$@"; }\n"""


@dataclass(frozen=True)
class Demo:
    """A demo that runs in empty folders of its own, as in a terminal."""

    process: "subprocess.Popen[bytes]"
    folder: Path
    ready_at: float = 0.0
    """When it had printed all of its beginning, seconds since 1970, if a test is to know."""

    @property
    def screen(self) -> str:
        """What it printed so far, errors included."""
        return (self.folder / "screen").read_text()

    def shown(self, pattern: str, timeout_s: float = PRINT_TIMEOUT_S) -> re.Match[str]:
        """Wait until a line is printed, and return it."""
        deadline = time.monotonic() + timeout_s
        while (found := re.search(pattern, self.screen, re.MULTILINE)) is None:
            assert self.process.poll() is None, self.screen
            assert time.monotonic() < deadline, self.screen
            time.sleep(0.05)
        return found

    def interrupt(self, signal_number: signal.Signals = signal.SIGINT) -> int:
        """Press Ctrl-C, or send another signal, and return the exit status."""
        os.killpg(self.process.pid, signal_number)
        return self.process.wait(STOP_TIMEOUT_S)

    def remains(self) -> list[str]:
        """List the files that there are besides the screen's."""
        return [path.name for name in ("temporary", "working") for path in (self.folder / name).iterdir()]

    def ask(self, pasted: str) -> Reply:
        """Send the request of a printed curl command and return its answer."""
        words = subprocess.run(["sh", "-c", CURL + pasted], check=True, capture_output=True, text=True).stdout
        headers, content, url = {}, None, ""
        pending = iter(words.rstrip("\0").split("\0"))
        for word in pending:
            match word:
                case "-H":
                    name, value = next(pending).split(": ", 1)
                    headers[name] = value
                case "-d":
                    content = next(pending)
                case _:
                    url = word
        method = "GET" if content is None else "POST"
        answer = plain_http.request(method, url, headers=headers, content=content)
        return Reply(answer.status_code, list(answer.headers.multi_items()), answer.content)


@contextlib.contextmanager
def _demo(folder: Path, *options: str) -> Iterator[Demo]:
    for name in ("temporary", "working"):
        (folder / name).mkdir()
    settings = {name: value for name, value in os.environ.items() if not name.startswith("FAREBOX_")}
    with (folder / "screen").open("wb") as screen:
        process = subprocess.Popen(
            [sys.executable, "-m", "farebox", "demo", *options],
            stdin=subprocess.DEVNULL,
            stdout=screen,
            stderr=screen,
            cwd=folder / "working",
            env={**settings, "TMPDIR": str(folder / "temporary")},
            start_new_session=True,
        )
    guard = subprocess.Popen(
        ["/bin/sh", "-c", GUARD, "guard", str(process.pid)],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield Demo(process, folder)
    finally:
        guard.communicate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A demo on a free port, which the tests that only look at one share."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with _demo(tmp_path_factory.mktemp("demo"), "--port", str(port)) as demo:
        demo.shown("Ctrl-C ends it all")
        yield replace(demo, ready_at=time.time())


def test_the_printed_balance_request_answers_as_the_contract_says(demo: Demo) -> None:
    url = demo.shown(r"^Farebox runs at (http://127\.0\.0\.1:\d+)$")[1]
    key = demo.shown(r"^  its key      (fbm_\w+)$")[1]
    line = demo.shown(r"^  (curl .*/api/balance)$")[1]
    assert f"curl -H 'x-api-key: {key}' {url}/api/balance" == line
    reply = demo.ask(line)
    check_envelope(reply)
    assert (200, str) == (reply.status, type(reply.data))
    assert re.fullmatch(r"\d+\.\d{2,6}", reply.data)
    assert Decimal(reply.data) > 0


def test_the_printed_charge_request_is_made_once_however_often_it_is_pasted(demo: Demo) -> None:
    line = demo.shown(r"^  (curl .*\\\n.*/api/charges)$")[1]
    first, again = demo.ask(line), demo.ask(line)
    for reply in (first, again):
        check_envelope(reply)
        assert 200 == reply.status
    # 12 images of 0.0085 each.
    assert "0.102" == first.data["cost"]
    assert first.body == again.body
    assert (None, "true") == (first.header("idempotent-replay"), again.header("idempotent-replay"))


def test_the_demos_ledger_verifies_while_it_is_in_use(demo: Demo) -> None:
    folder = Path(demo.shown(r"^  mails        (.+)$")[1]).parent
    shell = Shell(f"sqlite:///{folder / 'farebox.db'}")
    assert shell.json("verify")["isClean"]
    merchants = {merchant["name"]: merchant["merchantId"] for merchant in shell.json("merchant", "list")}
    assert {"Northwind Imaging", "Contoso Maps", "Tailspin Audio"} == merchants.keys()
    (grant,) = shell.json("grant", "list", merchants["Northwind Imaging"])
    assert ("open", "50.00", ["document"]) == (grant["state"], grant["amount"], grant["types"])
    assert 0 < Decimal(grant["left"]) < 50


def _check_gone(demo: Demo, processes: list[psutil.Process]) -> None:
    assert "Traceback" not in demo.screen
    assert demo.screen.endswith(LAST_WORDS)
    assert [] == demo.remains()
    assert [] == [process for process in processes if process.is_running()]


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_demo_that_is_ended_leaves_nothing_behind(
    tmp_path: Path, free_port: int, signal_number: signal.Signals
) -> None:
    with _demo(tmp_path, "--port", str(free_port)) as demo:
        demo.shown("^1 charges so far")
        processes = psutil.Process(demo.process.pid).children(recursive=True)
        assert processes
        assert ["farebox-demo"] == [name.rpartition("-")[0] for name in demo.remains()]
        # By a second Ctrl-C.
        os.killpg(demo.process.pid, signal_number)
        os.killpg(demo.process.pid, signal.SIGHUP)
        assert 0 == demo.interrupt(signal_number)
        _check_gone(demo, processes)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", free_port))


def test_a_demo_can_be_ended_while_it_still_writes_its_history_by_closing_its_terminal(
    tmp_path: Path, free_port: int
) -> None:
    with _demo(tmp_path, "--port", str(free_port)) as demo:
        demo.shown("^Writing 10 days of history")
        assert 0 == demo.interrupt(signal.SIGHUP)
        _check_gone(demo, [])


def test_what_must_not_be_interrupted_is_done_before_an_ending_comes() -> None:
    done = []

    def interrupted() -> None:
        with endings_waiting():
            signal.raise_signal(signal.SIGINT)
            done.append("made")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert ["made"] == done


def test_with_json_a_script_learns_where_everything_is(tmp_path: Path, free_port: int) -> None:
    with _demo(tmp_path, "--port", str(free_port), "--json") as demo:
        shown = json.loads(demo.shown(r"^\{.*\}$")[0])
        assert {"url", "merchantId", "merchantKey", "serviceKey", "folder"} == set(shown)
        assert f"http://127.0.0.1:{free_port}" == shown["url"]
        assert (Path(shown["folder"]) / "farebox.db").exists()
        headers = {"x-api-key": shown["merchantKey"]}
        assert 200 == plain_http.get(f"{shown['url']}/api/balance", headers=headers).status_code
        assert 0 == demo.interrupt()


def test_a_busy_port_that_was_asked_for_is_named_and_nothing_is_left_behind(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with _demo(tmp_path, "--port", str(port)) as demo:
            assert 1 == demo.process.wait(STOP_TIMEOUT_S)
            message = f"127.0.0.1:{port} can't be listened on: Address already in use; choose another with --port"
            assert f"farebox: {message}\n" == demo.screen
            assert [] == demo.remains()


def test_another_port_is_found_when_the_usual_one_is_busy(tmp_path: Path) -> None:
    with socket.socket() as listener:
        # Should somebody else have it, it is busy as well.
        with contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", PORT_DEFAULT))
            listener.listen()
        with _demo(tmp_path) as demo:
            port = demo.shown(rf"^Port {PORT_DEFAULT} is taken; using (\d+)\.$")[1]
            assert f"http://127.0.0.1:{port}" == demo.shown("^Farebox runs at (.+)$")[1]
            assert 0 == demo.interrupt()


def test_a_low_balance_mail_lands_in_the_folder_and_is_announced_within_40_seconds(demo: Demo) -> None:
    # The last test: the others run while the demo spends.
    folder = Path(demo.shown(r"^  mails        (.+)$")[1])
    demo.shown(r"^Mail to [\s\S]*\.eml$[\s\S]*^Mail to [\s\S]*\.eml$", MAIL_TIMEOUT_S)
    announced = re.findall(r'^Mail to (\S+): "(.+)"\n  (.+\.eml)$', demo.screen, re.MULTILINE)
    people = ["ann@northwind.example", "bob@northwind.example"]
    assert people == sorted(to for to, _, _ in announced)
    for to, subject, path in announced:
        assert folder == Path(path).parent
        mail = email.message_from_bytes(Path(path).read_bytes(), policy=email.policy.default)
        assert (to, subject) == (mail["To"], mail["Subject"])
        assert "Northwind Imaging: balance below 400.00 USD" == subject
    assert {Path(path) for _, _, path in announced} == set(folder.glob("*.eml"))
    assert max(path.stat().st_mtime for path in folder.glob("*.eml")) - demo.ready_at < MAIL_TIMEOUT_S
    reply = demo.ask(demo.shown(r"^  (curl .*/api/balance)$")[1])
    assert Decimal(reply.data) < 400
