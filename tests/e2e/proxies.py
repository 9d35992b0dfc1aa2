"""nginx or Caddy with its configuration from deploy/proxy, with a certificate, as clients on the internet find it."""

import os
import re
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import trustme

from tests.gateways.programs import PROGRAMS, takes_connections
from tests.support.server import free_port, start_guard
from tests.tidy.files import ROOT

HOST: Final = "pay.example"
CLIENT: Final = "127.0.0.2"
TIMEOUT_S: Final = 60
FILES: Final = {"nginx": "nginx.conf", "caddy": "Caddyfile"}

_CERTIFICATE: Final = re.compile(r"/etc/farebox/tls/fullchain\.pem")
_KEY: Final = re.compile(r"/etc/farebox/tls/key\.pem")


@dataclass(frozen=True)
class Proxy:
    """A proxy that runs, and whom it is to be believed by."""

    port: int
    authority: trustme.CA
    context: ssl.SSLContext

    @property
    def url(self) -> str:
        """Where it is, by a name that the certificate has not: `ask` tells the other one."""
        return f"https://127.0.0.1:{self.port}"

    def client(self, **more: Any) -> httpx.Client:
        """Make a client at an address of its own, which takes the proxy for the site's host."""
        transport = httpx.HTTPTransport(verify=self.context, local_address=CLIENT)
        return httpx.Client(transport=transport, base_url=self.url, headers={"Host": HOST, **more}, timeout=TIMEOUT_S)

    def ask(self, client: httpx.Client, method: str, path: str, **more: Any) -> httpx.Response:
        """Ask, by the name that the certificate has."""
        return client.request(method, path, extensions={"sni_hostname": HOST}, **more)


@contextmanager
def shipped_proxy(name: str, edit: Callable[[str], str]) -> Iterator[Proxy]:
    """Run a proxy with its shipped configuration, but for the ports, the certificate, and what is edited first."""
    # Not one of pytest's: the workers of a proxy that root starts are somebody else, who has to get in.
    folder = Path(tempfile.mkdtemp(prefix="farebox-proxy-"))
    folder.chmod(0o755)
    authority = trustme.CA()
    certificate = authority.issue_cert(HOST)
    certificate.cert_chain_pems[0].write_to_path(folder / "fullchain.pem")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    port = free_port()
    text = edit((ROOT / "deploy" / "proxy" / FILES[name]).read_text())
    (folder / FILES[name]).write_text(_configured(text, folder, port))
    try:
        with _running(name, folder, port):
            yield Proxy(port, authority, context)
    finally:
        shutil.rmtree(folder)


def _configured(text: str, folder: Path, port: int) -> str:
    told = {
        "listen 443 ssl": f"listen {port} ssl",
        "listen 80;": f"listen {free_port()};",
        f"{HOST} {{": f"{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n\nhttps://{HOST}:{port} {{",
        "# tls ": "tls ",
    }
    for written, changed in told.items():
        text = text.replace(written, changed)
    return _KEY.sub(str(folder / "key.pem"), _CERTIFICATE.sub(str(folder / "fullchain.pem"), text))


@contextmanager
def _running(name: str, folder: Path, port: int) -> Iterator[None]:
    program = PROGRAMS[name]
    path = program.find()
    assert path is not None
    with (folder / "proxy.log").open("wb") as log:
        process = subprocess.Popen(
            [path, *program.arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            env={**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder)},
            start_new_session=True,
        )
    guard = start_guard(process)
    try:
        deadline = time.monotonic() + TIMEOUT_S
        while not takes_connections(port):
            assert process.poll() is None, (folder / "proxy.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        guard.communicate()
