"""The command line as a script uses it: a command, its exit status, and what it printed where."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from click.testing import CliRunner

from farebox.cli.main import cli


@dataclass(frozen=True)
class Done:
    """A command that ended."""

    status: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """The JSON document that it answered with."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Shell:
    """A shell in which a database is set."""

    database_url: str
    secret_key: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Further ones."""

    def run(self, *words: str) -> Done:
        """Run `farebox WORDS`."""
        unset = {name: None for name in os.environ if name.startswith("FAREBOX_")}
        own = {"FAREBOX_DATABASE_URL": self.database_url, "FAREBOX_SECRET_KEY": self.secret_key}
        result = CliRunner().invoke(cli, words, env={**unset, **own, **self.settings})
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return Done(result.exit_code, result.stdout, result.stderr)

    def ok(self, *words: str) -> Done:
        """Run a command that must succeed and say nothing on stderr."""
        done = self.run(*words)
        assert (0, "") == (done.status, done.err), done
        return done

    def json(self, *words: str) -> Any:
        """Run a command with --json that must succeed, and return its answer."""
        return self.ok(*words, "--json").data

    def merchant(self, *options: str) -> str:
        """Make a merchant and return its id."""
        merchant_id: str = self.json("merchant", "create", "Acme", "--currency", "USD", *options)["merchantId"]
        return merchant_id
