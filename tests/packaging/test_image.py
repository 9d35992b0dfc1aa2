"""The Dockerfile: rules of a linter, what it copies, and how the image is to be run; `make image-steps` runs it."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from farebox.cli.main import cli
from farebox.http.worker import STOP_SECONDS_MAX
from tests.support.server import Server, seeded
from tools.image_steps.dockerfile import Stage, is_sent, stages
from tools.release.distributions import MADE_FROM, ROOT

BIN = Path(sys.executable).parent
DOCKERFILE = ROOT / "Dockerfile"


@pytest.fixture(scope="module")
def image() -> Stage:
    return stages(DOCKERFILE)[-1]


def test_the_linter_has_nothing_to_say() -> None:
    linted = subprocess.run(
        [BIN / "hadolint", "--failure-threshold", "ignore", DOCKERFILE], check=False, capture_output=True, text=True
    )
    assert (0, "") == (linted.returncode, linted.stdout)


def test_all_stages_stand_on_one_small_base() -> None:
    assert {"python:3.11-slim-bookworm"} == {stage.base for stage in stages(DOCKERFILE)}


def test_what_is_copied_is_there_and_is_sent_to_the_engine() -> None:
    copied = [
        ROOT / name
        for stage in stages(DOCKERFILE)
        for instruction in stage.instructions
        if instruction.keyword == "COPY" and not instruction.text.startswith("--from")
        for name in instruction.words[:-1]
    ]
    assert copied
    assert [] == [path for path in copied if not path.exists() or not is_sent(path, ROOT)]


def test_the_engine_is_sent_the_sources_and_no_secret() -> None:
    names = [
        ROOT / name for name in ("farebox.db", "farebox.toml", "deploy/compose/farebox.env", ".git", "tests", "mail")
    ]
    assert [] == [path for path in names if is_sent(path, ROOT)]
    assert not is_sent(ROOT / "src" / "farebox" / "__pycache__" / "config.cpython-311.pyc", ROOT)
    assert all(is_sent(project / "pyproject.toml", ROOT) for project in MADE_FROM.values())


def test_the_image_runs_without_privilege_and_is_told_to_stop_gently(image: Stage) -> None:
    assert "10001:10001" == image.last("USER").text
    assert "SIGTERM" == image.last("STOPSIGNAL").text
    assert image.last("WORKDIR").text == image.last("VOLUME").text
    after = [one.keyword for one in image.instructions]
    assert not {"RUN", "COPY", "ADD"} & set(after[after.index("USER") :])


def test_what_the_image_runs_is_a_command(image: Stage) -> None:
    assert ["farebox"] == image.last("ENTRYPOINT").words
    told = CliRunner().invoke(cli, [*image.last("CMD").words, "--help"])
    assert 0 == told.exit_code, told.output
    assert STOP_SECONDS_MAX < 45


def test_the_health_check_tells_a_server_that_answers_from_one_that_does_not(image: Stage, tmp_path: Path) -> None:
    check = image.last("HEALTHCHECK").text
    program, *arguments = image.last("HEALTHCHECK")._replace(text=check[check.index("[") :]).words
    assert "python" == program

    def status(port: int) -> int:
        here = [argument.replace("8000", str(port)) for argument in arguments]
        return subprocess.run([sys.executable, *here], check=False, stderr=subprocess.DEVNULL).returncode

    database = f"sqlite:///{tmp_path / 'farebox.db'}"
    seeded(database)
    with Server(database) as server:
        assert 0 == status(server.port)
    assert 1 == status(server.port)
