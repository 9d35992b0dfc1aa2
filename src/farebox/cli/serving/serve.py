"""`farebox serve`: the server's processes, and what is checked before they start."""

import asyncio
import os
import resource
import signal
import socket
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Final

import click

from farebox.bootstrap import ensure_tracing, gate_rules, make_connector
from farebox.cli.context import FAILED, add_json_option, counted, fail, guarded
from farebox.cli.serving.first_process import FirstProcess
from farebox.cli.serving.public_url import public_url_warning, served_url
from farebox.cli.serving.start_warnings import start_warnings
from farebox.config import Settings
from farebox.handover import Listening, bound_sockets, given_sockets
from farebox.http.limits import HTTP_LIMITS, HttpLimits
from farebox.metrics.slots import shared_folder
from farebox.observe import configure_logging
from farebox.service.gate.rules import Rules
from farebox.setting_types import url_host

FILES_BESIDE_CONNECTIONS: Final = 256
"""How many files a process needs for the database, mails and its log."""

PUBLIC_URL_VARIABLE: Final = "FAREBOX_PUBLIC_URL"

_PORT_MAX: Final = 65_535
_DRAIN_SECONDS: Final = 5
_DRAIN_SECONDS_MAX: Final = 200


def make_command(
    *,
    application: str = "farebox.server:web_app",
    limits: HttpLimits = HTTP_LIMITS,
    is_replacing: bool = True,
) -> click.Command:
    """Make `farebox serve`.

    Args:
        application: `module:function`, which makes the application in each worker.
        limits: what connections may have; the application has them from elsewhere.
        is_replacing: whether a worker that ended by itself is replaced by another.
    """

    @click.command("serve")
    @click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on; 0.0.0.0 for all.")
    @click.option("--port", default=8000, show_default=True, type=click.IntRange(1, _PORT_MAX))
    @click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="How many processes.")
    @click.option(
        "--drain-seconds",
        default=_DRAIN_SECONDS,
        show_default=True,
        type=click.IntRange(0, _DRAIN_SECONDS_MAX),
        help="How long to answer on open connections, once told to stop, where a service manager gave the socket.",
    )
    def serve(*, host: str, port: int, workers: int, drain_seconds: int, is_json: bool) -> None:
        """Serve the API, send mails and expire holds, until told to stop.

        SIGHUP starts the program anew, on the same socket, and ends this one once the new one answers.
        """
        given = _given_sockets(workers, is_json=is_json)
        environment = dict(os.environ)
        settings = guarded(Settings.load, is_json=is_json)
        guarded(lambda: ensure_tracing(settings), is_json=is_json)
        rules = guarded(lambda: gate_rules(settings), is_json=is_json)
        engine = _checked_engine(settings, is_json=is_json)
        problem = _metrics_problem(settings)
        if problem is not None:
            fail("port_unavailable", problem, FAILED, is_json=is_json)
        listening = given or _bound_sockets(host, port, workers, is_json=is_json)
        host, port, *_ = listening.sockets[0].getsockname()
        public_url = settings.public_url or served_url(host, port)
        # The workers read their settings from the environment.
        os.environ[PUBLIC_URL_VARIABLE] = public_url
        _tell_what_is_served(settings, rules, engine, workers, host=host, port=port, public_url=public_url)
        server = FirstProcess(
            application,
            listening,
            environment,
            workers=workers,
            limits=limits,
            connections_max=_connections_max(limits),
            is_replacing=is_replacing,
            drain_seconds=drain_seconds if listening.is_given and listening.predecessor is None else 0,
        )
        configure_logging(is_json=settings.log_format == "json", secrets=settings.secrets)
        with shared_folder() if settings.has_metrics else nullcontext():
            is_well = server.serve()
        # All is done; a second signal would only spoil the exit status.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        if not is_well:
            sys.exit(FAILED)

    add_json_option(serve)
    return serve


def _tell_what_is_served(
    settings: Settings, rules: Rules | None, engine: str, workers: int, *, host: str, port: int, public_url: str
) -> None:
    """Print where the server is and what it goes by, with warnings of what an operator may not have meant."""
    processes = "1 process" if workers == 1 else f"{workers} processes"
    click.echo(f"Farebox serves http://{url_host(host)}:{port} with {engine} and {processes}. Ctrl-C stops it.")
    if rules is not None:
        click.echo(f"The gate goes by {counted(len(rules.routes), 'route')} of {settings.gate_file}.")
    if settings.has_metrics:
        click.echo(f"Metrics are at http://{settings.metrics_address or f'{url_host(host)}:{port}'}/metrics.")
    click.echo(f"Links in mails begin with {public_url}.")
    loopback = public_url_warning(public_url, host, port)
    for warning in [*start_warnings(settings, Path.cwd()), *([loopback] if loopback else [])]:
        click.echo(f"farebox: warning: {warning}", err=True)


def _given_sockets(workers: int, *, is_json: bool) -> Listening | None:
    """Take the sockets that are given, if any are."""
    try:
        given = given_sockets(os.environ)
    except (OSError, ValueError) as error:
        fail("port_unavailable", f"the given sockets can't be listened on: {error}", FAILED, is_json=is_json)
    if given is not None and len(given.sockets) > workers:
        problem = f"{len(given.sockets)} sockets are given; serve them with --workers {len(given.sockets)} or more"
        fail("port_unavailable", problem, FAILED, is_json=is_json)
    return given


def _bound_sockets(host: str, port: int, workers: int, *, is_json: bool) -> Listening:
    """Bind sockets, unless the port can't be listened on."""
    problem = port_problem(host, port)
    if problem is not None:
        fail("port_unavailable", problem, FAILED, is_json=is_json)
    return bound_sockets(host, port, workers)


def _checked_engine(settings: Settings, *, is_json: bool) -> str:
    """Open the database as a worker will, and name its engine."""

    async def check() -> str:
        connector = make_connector(settings)
        await connector.open()
        await connector.close()
        return connector.engine

    return guarded(lambda: asyncio.run(check()), is_json=is_json)


def _metrics_problem(settings: Settings) -> str | None:
    """Tell why metrics can't be listened for, or None if they can, or are not to be."""
    if not settings.metrics_address:
        return None
    host, port = settings.metrics_address.host_and_port
    problem = port_problem(host, port, is_shared=True)
    return None if problem is None else f"FAREBOX_METRICS_ADDRESS: {problem.partition(';')[0]}"


def _connections_max(limits: HttpLimits) -> int:
    """Let a process open as many files as it may need, if the system does; return how many connections that allows."""
    wanted = limits.connections + FILES_BESIDE_CONNECTIONS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    files_max = wanted if soft == resource.RLIM_INFINITY else soft
    # Where the system lets few be open, half of them are for connections.
    return min(limits.connections, max(files_max - FILES_BESIDE_CONNECTIONS, files_max // 2))


def port_problem(host: str, port: int, *, is_shared: bool = False) -> str | None:
    """Tell why a port can't be listened on, or None if it can; one that is shared may be listened on by others too."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if is_shared:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            probe.bind((host, port))
    except OSError as error:
        return f"{host}:{port} can't be listened on: {error.strerror or error}; choose another with --port"
    return None


serve: Final = make_command()
