"""The Dockerfile's steps, one after the other, and then what is held true of the image that they make."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.support.debian import find_program
from tools.image_steps.dockerfile import Instruction, Stage, filled, is_sent, stages
from tools.image_steps.root import VOLUME, container, copy_tree, make_base, own, run_step
from tools.release.distributions import ROOT

CACHE: Final = ROOT / ".venv" / "image-steps"
START_SECONDS_MAX: Final = 90
STOP_SECONDS_MAX: Final = 45
PATH: Final = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
SECRETS: Final = {"FAREBOX_SECRET_KEY": "q7Yt0vKpXz3LmB8sWd5NhRc2JfUe9AgT"}


def _told(what: str) -> None:
    print(f"ok  {what}", flush=True)


def fetch_wheels(folder: Path) -> None:
    """Fetch what the locks name, so that the steps need no network."""
    for name in ("build", "image"):
        lock = ROOT / "requirements" / f"{name}.lock"
        options = [
            "--quiet",
            "--only-binary",
            ":all:",
            "--require-hashes",
            "--requirement",
            str(lock),
            "--dest",
            str(folder),
        ]
        subprocess.run([sys.executable, "-m", "pip", "download", *options], check=True, stderr=subprocess.DEVNULL)


def build(base: Path, wheels: Path, folder: Path) -> tuple[Path, Stage, dict[str, str]]:
    """Take every step of every stage; return the last one's root, the stage and its variables."""
    roots: dict[str, Path] = {}
    *before, image = stages(ROOT / "Dockerfile")
    for stage in before:
        roots[stage.name] = _new_root(base, folder / stage.name)
        _take_steps(stage, roots[stage.name], wheels, roots)
    root = _new_root(base, folder / "image")
    return root, image, _take_steps(image, root, wheels, roots)


def _new_root(base: Path, root: Path) -> Path:
    subprocess.run(["cp", "--archive", base, root], check=True)
    return root


def _take_steps(stage: Stage, root: Path, wheels: Path, roots: dict[str, Path]) -> dict[str, str]:
    variables = {"PATH": PATH}
    folder = "/"
    for step in stage.instructions:
        started = time.monotonic()
        match step.keyword:
            case "ENV":
                variables |= step.variables(variables)
            case "WORKDIR":
                folder = filled(step.text, variables)
                (root / folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
            case "COPY":
                _copy(step, root, folder, roots)
            case "RUN":
                run_step(root, wheels, step.text, folder=folder, variables=variables)
            case _:
                # The others tell how the image is run.
                continue
        _told(f"{step.keyword} {step.text[:80]} ({time.monotonic() - started:.1f} s)")
    return variables


def _copy(step: Instruction, root: Path, folder: str, roots: dict[str, Path]) -> None:
    """Copy what the engine is sent, or of another stage."""
    *sources, target = step.words
    into = root / folder.lstrip("/") / target if not target.startswith("/") else root / target.lstrip("/")
    if sources[0].startswith("--from="):
        stage, made = sources
        copy_tree([roots[stage.removeprefix("--from=")] / made.lstrip("/")], into)
        return
    for name in sources:
        source = ROOT / name
        for path in [source] if source.is_file() else sorted(source.rglob("*")):
            if path.is_file() and is_sent(path, ROOT):
                inside = path.name if source.is_file() else path.relative_to(source)
                (into / inside).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, into / inside)


def _output(root: Path, volume: Path, variables: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        container(root, volume, command, variables), check=False, capture_output=True, text=True, timeout=300
    )


@contextmanager
def _served(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _ask(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def _first_process(unshare: int) -> int:
    """Return the one child of unshare, which is the first process of the namespace."""
    return int(Path(f"/proc/{unshare}/task/{unshare}/children").read_text().split()[0])


def try_image(root: Path, image: Stage, variables: dict[str, str], folder: Path) -> None:
    """Run the image: on a root that is only read, as its user, up to a stop that loses nothing."""
    volume = folder / "volume"
    own(volume)
    (program,) = image.last("ENTRYPOINT").words
    given = {**variables, **SECRETS}
    readied = _output(root, volume, given, program, "init")
    assert readied.returncode == 0, readied.stderr
    _told(f"init: {readied.stdout[:40]}...")
    refused = _output(root, volume, given, "touch", "/opt/farebox/written")
    assert "Read-only file system" in refused.stderr, refused
    identity = _output(
        root, volume, given, "sh", "-c", "id -u; grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/self/status"
    )
    assert identity.stdout.split() == ["10001", "CapEff:", "0" * 16, "CapBnd:", "0" * 16, "NoNewPrivs:", "1"], identity
    _told("its user is 10001, without a capability, and the root can't be written to")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    serving = container(root, volume, [program, *image.last("CMD").words, "--port", str(port)], given)
    check = image.last("HEALTHCHECK").text
    checking = [word.replace("8000", str(port)) for word in json.loads(check[check.index("[") :])]
    log = folder / "log"
    with _served(serving, log) as process:
        deadline = time.monotonic() + START_SECONDS_MAX
        while (checked := _output(root, volume, given, *checking)).returncode != 0:
            assert time.monotonic() < deadline, checked.stderr + log.read_text()
        _told("the health check finds it well")
        assert _ask(port, "/readyz") == _ask(port, "/sign-in") == _ask(port, "/docs") == 200, log.read_text()
        first = _first_process(process.pid)
        (numbers,) = re.findall(r"^NSpid:(.*)$", Path(f"/proc/{first}/status").read_text(), re.MULTILINE)
        assert numbers.split()[-1] == "1", numbers
        started = time.monotonic()
        os.kill(first, signal.SIGTERM)
        assert process.wait(STOP_SECONDS_MAX) == 0, log.read_text()
        _told(
            f"the first process ends with 0, {time.monotonic() - started:.1f} s after {image.last('STOPSIGNAL').text}"
        )
    verified = _output(root, volume, given, program, "verify")
    assert verified.returncode == 0, verified.stderr
    assert {"farebox.db"} == {path.name for path in volume.iterdir()}, list(volume.iterdir())
    _told(f"verify: {verified.stdout.strip()}")


def main() -> None:
    """Take the steps, and try what they make, in a folder that is thrown away."""
    if os.geteuid() != 0:
        sys.exit("Only root may change roots and mounts: run this as root, or let an engine build the image.")
    wheels = CACHE / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    fetch_wheels(wheels)
    _told("fetched the wheels that the locks name")
    debootstrap = find_program(["debootstrap"], packages=["debootstrap"], variable="FAREBOX_TEST_DEBOOTSTRAP")
    make_base(debootstrap, CACHE / "base")
    _told("made a Debian for a base")
    with tempfile.TemporaryDirectory(prefix="farebox-image-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        root, image, variables = build(CACHE / "base", wheels, folder)
        used = subprocess.run(["du", "-sm", root / "opt/farebox"], check=True, capture_output=True, text=True).stdout
        _told(f"built: {used.split()[0]} MB beside the base; data goes to /{VOLUME}")
        try_image(root, image, variables, folder)


if __name__ == "__main__":
    main()
