"""`farebox demo`: a throw-away Farebox with a past, a present and a mail, for a newcomer's first minutes."""

import asyncio
import email
import email.policy
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

import click
from msgspec import Struct

from farebox.bootstrap import MAIL_FOLDER, make_connector
from farebox.cli.context import FAILED, add_json_option, fail
from farebox.cli.serving.serve import port_problem
from farebox.config import Settings
from farebox.core import ids
from farebox.core.commands import Charge, Command, KeyKind, Payer
from farebox.core.pricing.rules import Line, Rates, Rule, Tier, Tiers
from farebox.core.staff_roles import EVERY_ROLE, NO_ROLE
from farebox.service import inputs
from farebox.service.clock import SystemClock
from farebox.service.id_generator import IdGenerator
from farebox.service.ledger.committer import Committer
from farebox.service.ledger.operations import Operations
from farebox.service.operator.grants import GrantFields, Grants
from farebox.service.operator.key_budgets import KeyBudgets
from farebox.service.operator.merchants import Merchants
from farebox.service.operator.prices import Prices
from farebox.service.people.api_keys import Principal
from farebox.service.people.passwords import Passwords
from farebox.storage.people.logins import LoginStore
from farebox.storage.records import Login, Realm
from farebox.storage.stores import Stores

PORT_DEFAULT: Final = 8000
HOST: Final = "127.0.0.1"
HISTORY_DAYS: Final = 10
CHARGES_A_DAY: Final = 120
READY_SECONDS_MAX: Final = 60
STOP_SECONDS_MAX: Final = 30
CHARGE_PAUSE_SECONDS: Final = 0.5
REPORT_EVERY: Final = 20

_DAY: Final = 86_400_000_000
_PRICES: Final = {"image": "0.0085", "audio": "0.024", "document": "0.05", "review": "1.50"}
_CHAT_LINES: Final = (
    Line("input", 2_500_000, 1_000_000),
    Line("cached", 1_250_000, 1_000_000),
    Line("output", 10_000_000, 1_000_000),
)
_LONG_CHAT_LINES: Final = (
    Line("input", 5_000_000, 1_000_000),
    Line("cached", 2_500_000, 1_000_000),
    Line("output", 15_000_000, 1_000_000),
)
_CHAT: Final = Rule(
    Rates(_CHAT_LINES, tiers=Tiers(("input", "cached"), (Tier(200_001, _LONG_CHAT_LINES),))),
)
"""A price as those of language models are: by tokens, and dearer where a request has many."""

_MERCHANTS: Final = (
    ("Northwind Imaging", "USD", "400", "950", ("ann@northwind.example", "bob@northwind.example")),
    ("Contoso Maps", "EUR", "100", "2500", ("carla@contoso.example",)),
    ("Tailspin Audio", "USD", "50", "800", ("dev@tailspin.example", "ops@tailspin.example")),
)

_CREDIT: Final = "50"
_CREDIT_DAYS_LEFT: Final = 21
"""How long the credit that was given goes on when the demo begins: too long for the mail that it ends."""

_BUDGET: Final = {"day": "5", "month": "100"}
"""What the first merchant's nightly jobs may spend."""

_ENDINGS: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)

STAFF: Final = "sam@farebox.example"
PASSWORD: Final = "open the demo"  # noqa: S105 - everybody's, of a database that is thrown away.


class Seeded(Struct, frozen=True):
    """What the demo shows of its database: the merchant that runs low, its key, and the key that charges."""

    merchant_id: str
    merchant_key: str
    service_key: str


class _SteppedClock:
    """A clock that is set by hand, so that the past can be written as it would have happened."""

    def __init__(self, at: int) -> None:
        self.at = at

    def now(self) -> int:
        """Return the time it was set to."""
        return self.at


@click.command("demo")
@click.option("--port", type=click.IntRange(1, 65_535), help=f"{PORT_DEFAULT}, or a free one if that is taken.")
def demo(*, port: int | None, is_json: bool) -> None:
    """Run a throw-away Farebox with merchants, prices and traffic; everything is removed at the end."""
    # Being told to stop, Ctrl-C and a terminal that is closed end it alike, so that nothing is left behind. A script
    # that starts it in the background has it ignore Ctrl-C, by which the others end it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _press_ctrl_c)
    folder = Path(tempfile.mkdtemp(prefix="farebox-demo-"))
    try:
        _run(folder, port, is_json=is_json)
    except KeyboardInterrupt:
        click.echo("\nThe demo is over; its database and mails are removed.")
    finally:
        _handle_endings(_ignore)
        shutil.rmtree(folder, ignore_errors=True)


def _press_ctrl_c(_signal: int, _frame: FrameType | None) -> None:
    signal.raise_signal(signal.SIGINT)


def _interrupt_once(_signal: int, _frame: FrameType | None) -> None:
    # A second Ctrl-C must not keep it from ending the server and cleaning up.
    _handle_endings(_ignore)
    raise KeyboardInterrupt


def _ignore(_signal: int, _frame: FrameType | None) -> None:
    """Do nothing; SIG_IGN would make Python complain about a signal that came already."""


@contextmanager
def endings_waiting() -> Iterator[None]:
    """Let signals to end wait until the end of the `with` block."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDINGS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDINGS)


def _handle_endings(handler: Callable[[int, FrameType | None], None]) -> None:
    for number in _ENDINGS:
        signal.signal(number, handler)


def _run(folder: Path, port: int | None, *, is_json: bool) -> None:
    chosen = _choose_port(port, is_json=is_json)
    settings = Settings.of(database_url=f"sqlite:///{folder / 'farebox.db'}")
    click.echo(f"Writing {HISTORY_DAYS} days of history ...")
    # asyncio ends well when Ctrl-C is pressed, if nobody else handles that, but not while it makes its loop.
    runner = asyncio.Runner()
    with endings_waiting():
        runner.get_loop()
    with runner:
        seeded = runner.run(seed(settings))
    _handle_endings(_interrupt_once)
    with _server(folder, settings, chosen) as process:
        _await_ready(process, chosen)
        _welcome(seeded, folder, chosen, is_json=is_json)
        _traffic(seeded, folder, chosen, process)


def _choose_port(port: int | None, *, is_json: bool) -> int:
    wanted = PORT_DEFAULT if port is None else port
    problem = port_problem(HOST, wanted)
    if problem is None:
        return wanted
    if port is not None:
        fail("port_unavailable", problem, FAILED, is_json=is_json)
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        free: int = probe.getsockname()[1]
    click.echo(f"Port {wanted} is taken; using {free}.")
    return free


async def seed(settings: Settings) -> Seeded:
    """Make the database: merchants, people, prices and a past, each charge decided as a live one would be."""
    connector = make_connector(settings)
    stores = Stores.over(connector)
    start = SystemClock().now() - HISTORY_DAYS * _DAY
    clock = _SteppedClock(start)
    await connector.migrate(start)
    await connector.open()
    committer = Committer(connector, clock)
    await committer.start()
    try:
        merchants, prices = Merchants(stores, clock), Prices(stores, clock)
        operations = Operations(committer, clock, stores.prices)
        for request_type, price in _PRICES.items():
            await prices.set(request_type, price)
        await prices.set("annotation", None)
        await prices.set("chat", rule=_CHAT)
        service = await merchants.create_key(KeyKind.SERVICE, name="demo traffic")
        made = []
        for name, currency, threshold, top_up, people in _MERCHANTS:
            merchant, _, key = await merchants.create(
                name=name, currency=currency, thresholds=[threshold], credit_limit="0"
            )
            for person in people:
                await merchants.add_user(merchant.merchant_id, person)
            await operations.top_up(merchant.merchant_id, amount=top_up, reference="INV-1", note=None, principal=None)
            if name == _MERCHANTS[0][0]:
                await _give_credit(Grants(stores, operations), merchant.merchant_id, clock.now())
            made.append((merchant.merchant_id, key.text))
        await prices.set("image", "0.0065", merchant_id=made[1][0])
        await _let_people_in(stores.logins, clock)
        jobs = await merchants.create_key(KeyKind.MERCHANT, merchant_id=made[0][0], name="nightly jobs")
        by_jobs = Payer(made[0][0], jobs.key.digest)
        await _write_history(committer, clock, [number for number, _ in made], by_jobs)
        await KeyBudgets(stores, clock, merchants).set(jobs.key.key_id, _BUDGET, zone="UTC")
    finally:
        await committer.close()
        await connector.close()
    number, key_text = made[0]
    return Seeded(ids.public_id(ids.MERCHANT, number), key_text, service.text)


async def _give_credit(grants: Grants, merchant_id: int, now: int) -> None:
    """Give the first merchant credit for some of its requests, of which a part is left when the demo begins."""
    fields = GrantFields(
        amount=_CREDIT,
        reference="WELCOME-1",
        reason="for trying documents out",
        expires_at=inputs.format_time(now + (HISTORY_DAYS + _CREDIT_DAYS_LEFT) * _DAY),
        types=["document"],
    )
    await grants.give(merchant_id, fields, principal=Principal("shell:demo", roles=EVERY_ROLE))


async def _let_people_in(logins: LoginStore, clock: _SteppedClock) -> None:
    """Give every merchant's first person, and one of support, the demo's password."""
    passwords, id_generator = Passwords(), IdGenerator(clock)
    for realm, address, name in (
        *((Realm.MERCHANT, addresses[0], addresses[0]) for *_, addresses in _MERCHANTS),
        (Realm.SUPPORT, STAFF, "Sam"),
    ):
        hashed = await passwords.hash(PASSWORD)
        roles = EVERY_ROLE if realm == Realm.SUPPORT else NO_ROLE
        await logins.add(Login(id_generator.next(), realm, address, name, clock.now(), hashed, roles=roles))
    passwords.close()


async def _write_history(committer: Committer, clock: _SteppedClock, merchant_ids: list[int], by_jobs: Payer) -> None:
    """Charge every merchant through the past days; the first ends a little above its threshold of 400.

    The first merchant's chats name the key of its nightly jobs.
    """
    chance = random.Random(1)  # noqa: S311 - a demo's traffic is no secret.
    begin = clock.at
    for step in range(HISTORY_DAYS * CHARGES_A_DAY):
        clock.at = begin + (step + 1) * (HISTORY_DAYS * _DAY // (HISTORY_DAYS * CHARGES_A_DAY + 1))
        batch: list[Command] = [
            Charge(Payer(number), request_type, quantity, f"past-{step}")
            for number in merchant_ids
            for request_type, quantity in [chance.choice((("image", 9), ("audio", 4), ("document", 2), ("review", 1)))]
        ]
        tokens = (("cached", 40 * (step % 30)), ("input", 300 + 7 * (step % 90)), ("output", 50 + step % 350))
        payers = [by_jobs if number == by_jobs.merchant_id else Payer(number) for number in merchant_ids]
        batch += [Charge(payer, "chat", 1, f"chat-{step}", quantities=tokens) for payer in payers]
        await committer.submit_all(batch)


@contextmanager
def _server(folder: Path, settings: Settings, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the real server in the demo's folder, where its mails go as well, and stop it at the end."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FAREBOX_")}
    environment["FAREBOX_DATABASE_URL"] = settings.database_url
    environment["FAREBOX_SUPPORT_CONTACT"] = "support@farebox.example"
    command = [sys.executable, "-m", "farebox", "serve", "--host", HOST, "--port", str(port)]
    log = (folder / "server.log").open("wb")
    # A group of its own: Ctrl-C reaches the demo, and the demo ends the server.
    process = subprocess.Popen(  # noqa: S603 - our own program.
        command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


def _await_ready(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < deadline and process.poll() is None:
        try:
            status, _ = _request(port, "GET", "/healthz", {}, None)
        except OSError:
            time.sleep(0.1)
        else:
            if status == http.client.OK:
                return
    raise click.ClickException("the demo's server did not start")


def _request(port: int, method: str, path: str, headers: dict[str, str], body: str | None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def _welcome(seeded: Seeded, folder: Path, port: int, *, is_json: bool) -> None:
    url = f"http://{HOST}:{port}"
    if is_json:
        data = {
            "url": url,
            "merchantId": seeded.merchant_id,
            "merchantKey": seeded.merchant_key,
            "serviceKey": seeded.service_key,
            "folder": str(folder),
        }
        click.echo(json.dumps(data))
        return
    charge = json.dumps({"merchant": seeded.merchant_id, "type": "image", "quantity": 12, "idempotencyKey": "mine-1"})
    click.echo(
        f"\nFarebox runs at {url}\n"
        f"\n  merchant     {_MERCHANTS[0][0]}, {seeded.merchant_id}"
        f"\n  its key      {seeded.merchant_key}"
        f"\n  service key  {seeded.service_key}"
        f"\n  mails        {folder / MAIL_FOLDER}\n"
        f"\n  dashboard    {url}/          sign in as {_MERCHANTS[0][4][0]}"
        f"\n  console      {url}/support   sign in as {STAFF}"
        f"\n  password     {PASSWORD}\n"
        f"\nRead its balance:\n\n  curl -H 'x-api-key: {seeded.merchant_key}' {url}/api/balance\n"
        f"\nCharge it:\n\n  curl -H 'x-api-key: {seeded.service_key}' -H 'content-type: application/json' \\\n"
        f"    -d '{charge}' {url}/api/charges\n"
        f"\nCharges go on meanwhile, and bring it below its threshold of {_MERCHANTS[0][2]} USD soon."
        "\nCtrl-C ends it all.\n"
    )


def _traffic(seeded: Seeded, folder: Path, port: int, process: "subprocess.Popen[bytes]") -> None:
    """Charge the merchant until the demo is ended, and tell of the mails that come of it."""
    announced: set[str] = set()
    count = 0
    while process.poll() is None:
        count += 1
        # Dear ones at first, so that the threshold is reached within half a minute; then a trickle.
        charge = {
            "merchant": seeded.merchant_id,
            "type": "image" if announced else "review",
            "quantity": 2,
            "idempotencyKey": f"demo-{time.time_ns()}",
        }
        headers = {"x-api-key": seeded.service_key, "content-type": "application/json"}
        try:
            status, answer = _request(port, "POST", "/api/charges", headers, json.dumps(charge))
        except OSError as error:
            click.echo(f"A charge failed: {error}")
        else:
            if status == http.client.OK and (count == 1 or count % REPORT_EVERY == 0):
                data = json.loads(answer)["data"]
                click.echo(f"{count} charges so far, the last of {data['cost']}; available {data['available']} USD")
        _announce_mails(folder / MAIL_FOLDER, announced)
        time.sleep(CHARGE_PAUSE_SECONDS)
    raise click.ClickException(f"the demo's server ended: {(folder / 'server.log').read_text()[-500:]}")


def _announce_mails(folder: Path, announced: set[str]) -> None:
    for path in sorted(folder.glob("*.eml")):
        if path.name not in announced:
            announced.add(path.name)
            mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            click.echo(f'\nMail to {mail["To"]}: "{mail["Subject"]}"\n  {path}\n')


add_json_option(demo)
