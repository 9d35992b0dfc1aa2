"""The client's README is run as it is read: its code against a real server, its commands in a shell."""

import asyncio
import contextlib
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from farebox.service.price_texts import read_rule
from farebox_client import Farebox
from tests.support.server import Seeds, Server, open_farebox, seed

ROOT: Final = Path(__file__).parents[2]
README: Final = ROOT / "clients" / "python" / "README.md"
BLOCK: Final = re.compile(r"```(sh|python)\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", re.DOTALL)
CHAT: Final = {"lines": [{"name": "output", "amount": "0.60", "per": 1000}]}
# An environment may have no network: what an install takes from elsewhere is here already.
OFFLINE: Final = "--quiet --no-build-isolation --no-deps --no-index --target installed"


async def prepared(database_url: str) -> Seeds:
    async with open_farebox(database_url) as farebox:
        seeds = await seed(farebox)
        await farebox.services.prices.set("chat", rule=read_rule("rule", CHAT))
    return seeds


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server, and the environment that the README takes keys from."""
    url = f"sqlite:///{tmp_path / 'farebox.db'}"
    seeds = asyncio.run(prepared(url))
    with Server(url) as server:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("FAREBOX_URL", server.url)
        monkeypatch.setenv("SERVICE_KEY", seeds.service_key)
        monkeypatch.setenv("MERCHANT_KEY", seeds.merchant_key)
        monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        yield


@pytest.mark.usefixtures("environment")
def test_the_readme_does_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "clients").symlink_to(ROOT / "clients")
    names: dict[str, object] = {}
    blocks = BLOCK.findall(README.read_text())
    for language, code, promised in blocks:
        printed = io.StringIO()
        if language == "python":
            with contextlib.redirect_stdout(printed):
                exec(compile(code, str(README), "exec"), names)
        else:
            command = code.replace("pip install", f"python -m pip install {OFFLINE}")
            done = subprocess.run(
                ["sh", "-e"], input=command, cwd=tmp_path, text=True, capture_output=True, timeout=100, check=False
            )
            assert (0, code) == (done.returncode, code), done.stderr
            printed.write(done.stdout)
        assert promised == printed.getvalue()
    # It is kept as long as its process lives, which goes on here.
    client = names["farebox"]
    assert isinstance(client, Farebox)
    client.close()
    assert len(blocks) >= 8
    assert (tmp_path / "installed" / "farebox_client" / "py.typed").exists()
