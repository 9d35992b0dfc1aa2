"""`farebox doctor`: each check finds its fault in a real database, file system, mail server or port, or keeps quiet."""

import asyncio
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import asyncpg
import msgspec
import pytest
from msgspec import Struct
from msgspec.structs import replace

from farebox.cli.doctor.command import examine_all
from farebox.cli.doctor.findings import LIMITS, DoctorLimits, Finding, Level, worst
from farebox.cli.doctor.host_checks import check_clock, clock_is_synchronised, mount_of
from farebox.core.commands import KeyKind
from farebox.service.clock import SystemClock
from farebox.service.people.destination_secrets import DestinationSecrets
from farebox.storage.destination_records import Channel, Destination, DestinationState
from farebox.storage.records import Verification
from tests.alerts.mailserver import MailServer
from tests.support.postgres import PostgresServer
from tests.support.server import Server, free_port, open_farebox, seed

KEY: Final = "b71f0a3c5d9e82461b7c3f0e9d5a8264f1"
OTHER_KEY: Final = "09f3c1b7a5e2d8640c9e1f7b3a5d8e2466"
PASSWORD: Final = "pass-Sw0rdfish-9"
GOOD: Final = {
    "FAREBOX_SECRET_KEY": KEY,
    "FAREBOX_PUBLIC_URL": "https://pay.shop.example",
    "FAREBOX_TRUSTED_PROXIES": "127.0.0.1",
    "FAREBOX_MAIL_FROM": "alerts@shop.example",
}
SECOND: Final = 1_000_000
HOUR: Final = 3_600 * SECOND
DAY: Final = 24 * HOUR
ROOMY: Final = replace(LIMITS, free_bytes_low=1, free_bytes_min=1, fsync_micros_min=0.0)


class ShiftedClock(Struct, frozen=True):
    """A clock that is wrong by so much."""

    ahead: int

    def now(self) -> int:
        return SystemClock().now() + self.ahead


class Found:
    """All findings of one look, by the check that made them."""

    def __init__(self, findings: list[Finding]) -> None:
        self.findings = findings

    def of(self, check: str) -> list[Finding]:
        found = [finding for finding in self.findings if finding.check == check]
        assert found, f"no finding of {check}"
        return found

    def level(self, check: str) -> Level:
        return worst(self.of(check))

    def text(self, check: str) -> str:
        return " ".join(f"{finding.found} {finding.where} {finding.advice}" for finding in self.of(check))


async def look(
    folder: Path,
    settings: Mapping[str, str],
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    workers: int = 1,
    ahead: int = 0,
    limits: DoctorLimits = ROOMY,
) -> Found:
    """Make every check; each finding that is not well says what to do, and none tells a secret."""
    findings = await examine_all(
        folder,
        settings,
        host=host,
        port=free_port() if port is None else port,
        workers=workers,
        clock=ShiftedClock(ahead),
        limits=limits,
    )
    assert [] == [finding for finding in findings if (finding.level is not Level.OK) != bool(finding.advice)]
    text = msgspec.json.encode(findings).decode()
    assert [] == [secret for secret in (KEY, OTHER_KEY, PASSWORD) if secret in text]
    return Found(findings)


def at(database_url: str, **more: str) -> dict[str, str]:
    return {**GOOD, "FAREBOX_DATABASE_URL": database_url, **more}


@pytest.fixture
async def ledger_url(tmp_path: Path) -> str:
    """A SQLite ledger with a merchant and prices."""
    url = f"sqlite:///{tmp_path / 'farebox.db'}"
    async with open_farebox(url) as farebox:
        await seed(farebox)
    return url


async def test_a_server_with_all_that_it_needs_has_nothing_wrong(ledger_url: str, tmp_path: Path) -> None:
    (tmp_path / "mail").mkdir()
    found = await look(tmp_path, at(ledger_url))
    bad = {finding.check for finding in found.findings if finding.level is not Level.OK}
    # No mail server is set here, and whether the machine has a time server is the machine's affair.
    assert {"mail.server", "ledger.verified"} == bad - {"clock.synchronised", "host.open-files", "disk.file-system"}


async def test_every_setting_that_cant_be_read_is_told_of_at_once(tmp_path: Path) -> None:
    (tmp_path / "farebox.toml").write_text('language = "tlh"\n')
    given = {
        "FAREBOX_DATABSE_URL": "sqlite:///x.db",
        "FAREBOX_SECRET_KEY": PASSWORD,
        "FAREBOX_RATE_LIMIT": "many",
        "FAREBOX_DATABASE_URL": "mysql://x",
    }
    found = await look(tmp_path, given)
    problems = [finding.found for finding in found.of("settings.readable")]
    names = ["DATABASE_URL", "DATABSE_URL", "LANGUAGE", "RATE_LIMIT", "SECRET_KEY"]
    assert names == sorted(next(name for name in names if text.startswith(f"FAREBOX_{name}")) for text in problems)
    # What depends on a setting that makes no sense is not looked at with the default in its place.
    assert not [one for one in found.findings if one.check.startswith(("database.", "ledger.", "settings.secret-key"))]
    (tmp_path / "farebox.toml").write_text("= nonsense")
    assert "farebox.toml" in (await look(tmp_path, {})).text("settings.readable")


@pytest.mark.parametrize(
    ("given", "check", "level"),
    [
        ({"SECRET_KEY": ""}, "settings.secret-key", Level.WARN),
        ({"PUBLIC_URL": ""}, "settings.public-url", Level.WARN),
        ({"PUBLIC_URL": "http://pay.shop.example"}, "settings.public-url", Level.WARN),
        ({"PUBLIC_URL": "http://127.0.0.1:1"}, "settings.public-url", Level.WARN),
        ({"TRUSTED_PROXIES": ""}, "proxies.trusted", Level.WARN),
        ({"TRUSTED_PROXIES": "0.0.0.0/0"}, "proxies.trusted", Level.ERROR),
        ({"TRUSTED_PROXIES": "10.0.0.0/8,8.0.0.0/8"}, "proxies.trusted", Level.ERROR),
        ({"WEBHOOK_NETWORKS": "169.254.0.0/16"}, "settings.webhook-networks", Level.WARN),
        ({"WEBHOOK_NETWORKS": "127.0.0.0/8"}, "settings.webhook-networks", Level.WARN),
        ({"GATE_SECRET": OTHER_KEY}, "settings.gate", Level.WARN),
        ({"GATE_FILE": "none.toml"}, "settings.gate", Level.ERROR),
        ({"GATE_FILE": "none.toml", "GATE_SECRET": OTHER_KEY}, "settings.gate", Level.ERROR),
        ({"SMTP_URL": "smtp://127.0.0.1:1", "MAIL_FROM": "farebox@localhost"}, "mail.sender", Level.WARN),
        ({"TEMPLATES": "none"}, "mail.files", Level.WARN),
    ],
)
async def test_unsafe_settings(tmp_path: Path, given: Mapping[str, str], check: str, level: Level) -> None:
    settings = at(f"sqlite:///{tmp_path / 'none.db'}", **{f"FAREBOX_{name}": text for name, text in given.items()})
    assert level is (await look(tmp_path, settings)).level(check)


async def test_settings_that_are_safe(tmp_path: Path) -> None:
    rules = tmp_path / "gate.toml"
    rules.write_text('[[route]]\nmethod = "GET"\npath = "/status"\npublic = true\n')
    more = {
        "FAREBOX_GATE_FILE": str(rules),
        "FAREBOX_GATE_SECRET": OTHER_KEY,
        "FAREBOX_WEBHOOK_NETWORKS": "10.0.0.0/8",
        "FAREBOX_PUBLIC_URL": "http://127.0.0.1:8000",
    }
    found = await look(tmp_path, at("sqlite:///none.db", **more), port=8000)
    for check in (
        "settings.secret-key",
        "settings.webhook-networks",
        "proxies.trusted",
        "mail.sender",
        "settings.gate",
    ):
        assert Level.OK is found.level(check)
    assert Level.OK is found.level("settings.public-url")


async def test_files_that_others_may_read(ledger_url: str, tmp_path: Path) -> None:
    (tmp_path / "farebox.db").chmod(0o644)
    found = await look(tmp_path, at(ledger_url))
    assert Level.WARN is found.level("settings.private-files")
    assert str(tmp_path / "farebox.db") in found.text("settings.private-files")


def _broken(path: Path, fault: str) -> None:
    """Make a fault in a SQLite ledger."""
    match fault:
        case "gone":
            path.unlink()
        case "no database":
            path.write_bytes(b"What stands here is no database." * 200)
        case "damaged":
            with closing(sqlite3.connect(path)) as database:
                (page,) = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'audit_log'").fetchone()
                (size,) = database.execute("PRAGMA page_size").fetchone()
            with path.open("r+b") as file:
                file.seek((page - 1) * size)
                file.write(b"\x5a" * size)
        case _:
            with closing(sqlite3.connect(path, isolation_level=None)) as database:
                match fault:
                    case "older":
                        database.execute("DELETE FROM farebox_migration WHERE name > '0020'")
                    case "newer":
                        database.execute("INSERT INTO farebox_migration VALUES ('9999_future', 1)")
                    case "another journal":
                        database.execute("PRAGMA journal_mode = DELETE")


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ("gone", "database.reachable"),
        ("no database", "database.reachable"),
        ("damaged", "database.integrity"),
        ("older", "database.schema"),
        ("newer", "database.schema"),
        ("another journal", "database.journal"),
    ],
)
async def test_faults_of_a_sqlite_file(ledger_url: str, tmp_path: Path, fault: str, check: str) -> None:
    sound = await look(tmp_path, at(ledger_url))
    assert Level.OK is sound.level(check)
    _broken(tmp_path / "farebox.db", fault)
    assert Level.ERROR is (await look(tmp_path, at(ledger_url))).level(check)


async def test_another_programs_file_a_long_log_and_a_check_that_takes_too_long(
    ledger_url: str, tmp_path: Path
) -> None:
    other = tmp_path / "shop.db"
    with closing(sqlite3.connect(other)) as database:
        database.execute("CREATE TABLE baskets (item TEXT)")
    found = await look(tmp_path, at(f"sqlite:///{other}"))
    assert Level.ERROR is found.level("database.schema")
    assert "baskets" in found.text("database.schema")
    async with open_farebox(ledger_url) as farebox:
        await seed(farebox)
        found = await look(
            tmp_path, at(ledger_url), limits=replace(ROOMY, sqlite_log_bytes_max=0, check_seconds_max=-1)
        )
    assert Level.WARN is found.level("database.log")
    assert "not through in time" in found.text("database.integrity")


async def test_what_is_behind_the_file_system(ledger_url: str, tmp_path: Path) -> None:
    """A file system in memory is one, and says that it has synced sooner than any disk."""
    memory = Path("/dev/shm")
    path = memory / f"farebox-{os.getpid()}.db"
    try:
        found = await look(tmp_path, at(f"sqlite:///{path}"), limits=replace(ROOMY, fsync_micros_min=10_000_000.0))
        assert Level.ERROR is found.level("disk.file-system")
        assert Level.WARN is found.level("disk.sync")
    finally:
        path.unlink(missing_ok=True)
    found = await look(tmp_path, at(ledger_url))
    assert Level.OK is found.level("disk.sync")
    assert Level.OK is found.level("disk.free")
    full = replace(ROOMY, free_bytes_low=1 << 60)
    assert Level.WARN is (await look(tmp_path, at(ledger_url), limits=full)).level("disk.free")
    full = replace(ROOMY, free_bytes_min=1 << 60)
    assert Level.ERROR is (await look(tmp_path, at(ledger_url), limits=full)).level("disk.free")


def test_where_a_path_is_mounted() -> None:
    mounts = "\n".join(
        [
            "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw",
            "23 22 0:40 / /srv/data rw shared:2 master:3 - nfs4 files.shop.example:/data rw,vers=4.2",
            "24 23 8:2 / /srv/data/fast\\040disk rw,noatime - xfs /dev/sdb1 rw,nobarrier",
            "what else stands there",
        ]
    )
    kinds = {}
    for path in ("/var/farebox.db", "/srv/data/farebox.db", "/srv/data/fast disk/farebox.db"):
        mount = mount_of(Path(path), mounts)
        assert mount is not None
        kinds[path] = (mount.kind, "nobarrier" in mount.options)
    assert [("ext4", False), ("nfs4", False), ("xfs", True)] == list(kinds.values())
    assert None is mount_of(Path("/var"), "")


def test_the_clock_is_asked_of_the_kernel() -> None:
    """It is as the machine has it: what is said of it follows."""
    assert [Level.OK, Level.WARN, Level.OK] == [worst(check_clock(state)) for state in (True, False, None)]
    assert worst(check_clock(clock_is_synchronised())) in (Level.OK, Level.WARN)


async def test_a_mail_server_is_tried_and_sent_nothing(tmp_path: Path) -> None:
    server = MailServer(login=("farebox", PASSWORD))
    await server.start()
    try:
        url = f"smtp://farebox:{PASSWORD}@127.0.0.1:{server.port}"
        levels = {}
        for name, given in {
            "good": url,
            "wrong password": url.replace(PASSWORD, "another"),
            "no STARTTLS": f"{url}?starttls=true",
            "nobody there": f"smtp://127.0.0.1:{free_port()}",
            "in the clear": url.replace("127.0.0.1", "0.0.0.0") + "?starttls=false",
        }.items():
            found = await look(tmp_path, at("sqlite:///none.db", FAREBOX_SMTP_URL=given))
            levels[name] = found.level("mail.server")
        assert [Level.OK, Level.ERROR, Level.ERROR, Level.ERROR, Level.WARN] == list(levels.values())
        assert [] == server.received
    finally:
        await server.stop()


async def test_what_the_ledger_tells(ledger_url: str, tmp_path: Path) -> None:
    """Mails that are owed for long, secrets under another key, verifications, and a clock that is behind."""
    settings = at(ledger_url)
    async with open_farebox(ledger_url, secret_key=KEY) as farebox:
        merchant, *_ = (await farebox.stores.merchants.page(0, 1))[0]
        secret = DestinationSecrets(KEY).encrypt(7, "whsec_x")
        await farebox.stores.destinations.add(
            Destination(
                *(7, merchant.merchant_id, None, Channel.WEBHOOK, "shop", "https://hooks.invalid", 2),
                *(DestinationState.ON, secret, None, None, farebox.clock.now()),
            ),
            count_max=9,
            own_count_max=9,
        )
        await farebox.services.staff.add("ann@shop.example", "Ann", principal=None)
        found = await look(tmp_path, settings)
        for check in ("ledger.outbox", "ledger.destination-secrets", "ledger.writable", "clock.ledger"):
            assert Level.OK is found.level(check)
        assert Level.WARN is found.level("ledger.verified")
        now = farebox.clock.now()
        await farebox.stores.verifications.begin(Verification(1, "shell", now, now, now))
    assert Level.OK is (await look(tmp_path, settings)).level("ledger.verified")
    late = await look(tmp_path, settings, ahead=40 * DAY)
    assert [Level.WARN, Level.WARN] == [late.level("ledger.outbox"), late.level("ledger.verified")]
    assert Level.ERROR is (await look(tmp_path, settings, ahead=-DAY)).level("clock.ledger")
    other = {**settings, "FAREBOX_SECRET_KEY": OTHER_KEY}
    assert Level.ERROR is (await look(tmp_path, other)).level("ledger.destination-secrets")
    async with open_farebox(ledger_url) as farebox:
        await farebox.stores.verifications.begin(
            Verification(2, "shell", now, now, now, problems=1, first_problem="a hash is wrong")
        )
    found = await look(tmp_path, settings)
    assert Level.ERROR is found.level("ledger.verified")
    assert "a hash is wrong" in found.text("ledger.verified")


async def test_a_port_that_another_program_has_and_a_public_url_that_leads_nowhere(
    ledger_url: str, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        found = await look(tmp_path, at(ledger_url), port=port, limits=replace(ROOMY, answer_seconds_max=0.2))
    assert Level.ERROR is found.level("port.free")
    nowhere = f"http://127.0.0.1:{free_port()}"
    with Server(ledger_url, environment={"FAREBOX_SECRET_KEY": KEY}) as server:
        found = await look(tmp_path, at(ledger_url, FAREBOX_PUBLIC_URL=nowhere), port=server.port)
        assert [Level.OK, Level.WARN] == [found.level("port.free"), found.level("port.public-url")]
        found = await look(tmp_path, at(ledger_url, FAREBOX_PUBLIC_URL=server.url), port=server.port)
    assert not [one for one in found.findings if one.check.startswith("port.") and one.level is not Level.OK]


async def execute(url: str, *statements: str) -> None:
    """Run statements, each by itself; new settings are heard of before it returns."""
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
        if any("pg_reload_conf" in statement for statement in statements):
            await asyncio.sleep(0.3)
    finally:
        await connection.close()


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL whose settings a test may change."""
    with PostgresServer(durable=True) as server:
        yield server


async def test_a_postgresql_with_nothing_wrong_and_then_with_every_fault(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    url = postgres.create_database()
    async with open_farebox(url) as farebox:
        await seed(farebox)
    settings = at(url)
    found = await look(tmp_path, settings)
    assert [] == [one for one in found.findings if one.check.startswith("database.") and one.level is not Level.OK]
    assert Level.OK is found.level("clock.database")
    for ahead, level in ((5 * SECOND, Level.WARN), (HOUR, Level.ERROR)):
        assert level is (await look(tmp_path, settings, ahead=ahead)).level("clock.database")
    assert Level.ERROR is (await look(tmp_path, settings, workers=64)).level("database.connections")

    await execute(
        url,
        *(f"ALTER SYSTEM SET {name} = off" for name in ("fsync", "full_page_writes", "autovacuum")),
        "ALTER SYSTEM SET synchronous_commit = local",
        "SELECT pg_create_physical_replication_slot('left_over', true)",
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'delivery_due'::regclass",
        "SELECT pg_reload_conf()",
    )
    found = await look(tmp_path, settings, limits=replace(ROOMY, log_bytes_max=0))
    for check, level in {
        "database.durability": Level.ERROR,
        "database.dead-rows": Level.ERROR,
        "database.slots": Level.WARN,
        "database.integrity": Level.ERROR,
        "database.log": Level.WARN,
    }.items():
        assert level is found.level(check), check
    await execute(
        url,
        "ALTER SYSTEM RESET ALL",
        "ALTER SYSTEM SET default_transaction_read_only = on",
        "SELECT pg_reload_conf()",
    )
    found = await look(tmp_path, settings)
    assert [Level.ERROR, Level.ERROR] == [found.level("database.writable"), found.level("ledger.writable")]
    await execute(url, "ALTER SYSTEM RESET ALL", "SELECT pg_reload_conf()")


async def test_a_postgresql_that_is_empty_anothers_or_lets_nobody_in(postgres: PostgresServer, tmp_path: Path) -> None:
    url = postgres.create_database()
    found = await look(tmp_path, at(url))
    assert Level.ERROR is found.level("database.schema")
    assert "farebox init" in found.text("database.schema")
    await execute(url, "CREATE TABLE baskets (item TEXT)")
    assert "baskets" in (await look(tmp_path, at(url))).text("database.schema")
    login, _, host = url.rpartition("@")
    user = login.rpartition(":")[0]
    found = await look(tmp_path, at(f"{user}:{PASSWORD}@{host}"))
    assert Level.ERROR is found.level("database.reachable")
    await execute(url, f"CREATE ROLE guest LOGIN PASSWORD '{PASSWORD}'")
    guest = f"postgresql://guest:{PASSWORD}@{host}"
    assert "pg_monitor" in (await look(tmp_path, at(guest))).text("database.log")


async def test_dead_rows(postgres: PostgresServer, tmp_path: Path) -> None:
    url = postgres.create_database()
    async with open_farebox(url) as farebox:
        await seed(farebox)
        for number in range(30):
            await farebox.services.merchants.create_key(KeyKind.SERVICE, name=f"key {number}")
    await execute(url, "UPDATE staff_key SET name = name || '!'")
    await execute(url, "SELECT pg_stat_force_next_flush()")
    found = await look(tmp_path, at(url), limits=replace(ROOMY, dead_rows_min=1))
    assert Level.WARN is found.level("database.dead-rows")


async def test_a_standby_that_is_waited_for(tmp_path: Path) -> None:
    with PostgresServer() as server:
        url = server.create_database()
        async with open_farebox(url) as farebox:
            await seed(farebox)
        with server.standby() as standby:
            server.wait_for_standby()
            found = await look(tmp_path, at(url))
            assert Level.OK is found.level("database.standby")
            # Tests need no disk: that this one is not waited for is found as well.
            assert Level.ERROR is found.level("database.durability")
            at_standby = standby.url(url.rpartition("/")[2])
            found = await look(tmp_path, at(at_standby))
            assert Level.ERROR is found.level("database.writable")
            await execute(url, "ALTER SYSTEM SET synchronous_standby_names = ''")
            await execute(url, "SELECT pg_reload_conf()")
            assert Level.WARN is (await look(tmp_path, at(url))).level("database.standby")
            await execute(url, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
            await execute(url, "SELECT pg_reload_conf()")
            found = await look(tmp_path, at(url))
        assert Level.ERROR is found.level("database.standby")


def test_the_command_ends_with_what_the_worst_finding_gives(tmp_path: Path) -> None:
    """In an account that may open few files, which is found as well."""
    plain = {name: text for name, text in os.environ.items() if not name.startswith("FAREBOX_")}
    environment = {**plain, **at("sqlite:///farebox.db")}

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        command = f"ulimit -n 500; exec {sys.executable} -m farebox {' '.join(words)}"
        return subprocess.run(
            ["sh", "-c", command], check=False, cwd=tmp_path, env=environment, capture_output=True, text=True
        )

    port = str(free_port())
    assert 2 == run("doctor", "--port", port).returncode
    assert 0 == run("init").returncode
    done = run("doctor", "--json", "--port", port)
    answer: Any = msgspec.json.decode(done.stdout)
    assert (1, "warn", "") == (done.returncode, answer["level"], done.stderr)
    assert "host.open-files" in {one["check"] for one in answer["findings"] if one["level"] == "warn"}
    text = run("doctor", "--port", port).stdout
    assert "0 errors" in text
    assert "ulimit -n" in text
