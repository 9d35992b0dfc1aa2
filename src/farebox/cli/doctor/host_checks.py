"""The machine: its disks, its clock, how many files a process may open, and the port."""

import ctypes
import os
import resource
import shutil
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Final

from msgspec import Struct

from farebox.bootstrap import MAIL_FOLDER
from farebox.cli.doctor.asking import asked_health
from farebox.cli.doctor.database_checks import sqlite_file
from farebox.cli.doctor.findings import MIB, CheckContext, Finding, error, ok, warn
from farebox.cli.serving.serve import FILES_BESIDE_CONNECTIONS, port_problem
from farebox.http.limits import HTTP_LIMITS
from farebox.setting_types import url_host

_MOUNTS: Final = Path("/proc/self/mountinfo")
_NETWORK_KINDS: Final = frozenset(
    {
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "fuse.glusterfs",
        "fuse.sshfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "smb3",
        "smbfs",
    }
)
_MEMORY_KINDS: Final = frozenset({"ramfs", "tmpfs"})
_LAYER_KINDS: Final = frozenset({"aufs", "overlay"})
_UNSAFE_OPTIONS: Final = frozenset({"barrier=0", "nobarrier"})
_SYNCS: Final = 8
_PAGE: Final = bytes(4_096)

_TIMEX_BYTES: Final = 256
"""More than any system's `struct timex` has."""

_TIMEX_STATUS: Final = slice(40, 44)
_UNSYNCHRONISED: Final = 0x40
_KIND_FIELDS: Final = 3
"""What stands behind the dash of a line of mountinfo: kind, source and options of the file system."""


class Mount(Struct, frozen=True):
    """A file system, where it is mounted, and how."""

    point: str
    kind: str
    options: frozenset[str]


def mount_of(path: Path, mounts: str) -> Mount | None:
    """Find what a path is on, in the text of mountinfo; None if that is not told."""
    best: Mount | None = None
    for line in mounts.splitlines():
        left, separator, right = line.partition(" - ")
        fields, kinds = left.split(), right.split()
        if not separator or len(kinds) < _KIND_FIELDS:
            continue
        point = fields[4].replace("\\040", " ")
        if Path(point) in (path, *path.parents) and (best is None or len(point) >= len(best.point)):
            best = Mount(point, kinds[0], frozenset(f"{fields[5]},{kinds[2]}".split(",")))
    return best


def check_disk(context: CheckContext) -> list[Finding]:
    """Tell how much room is left, and whether what is synced stays."""
    file = sqlite_file(context)
    folders = [] if file is None else [file.parent]
    if not context.settings.smtp_url and "smtp_url" not in context.unread:
        mails = context.folder / MAIL_FOLDER
        folders.append(mails if mails.is_dir() else context.folder)
    findings = [_free(folder, context) for folder in dict.fromkeys(folders)]
    if file is not None and file.parent.is_dir():
        findings += [_file_system(file), _syncs(file.parent, context)]
    return findings


def _free(folder: Path, context: CheckContext) -> Finding:
    check, where = "disk.free", str(folder)
    try:
        free = shutil.disk_usage(folder).free
    except OSError as problem:
        return error(check, where, f"it can't be looked at: {problem.strerror}", "see that the folder is there")
    found = f"{free // MIB:,} MiB are free"
    advice = "make room, or move the file to a larger disk: with none left every charge is refused"
    if free < context.limits.free_bytes_min:
        return error(check, where, found, advice)
    return warn(check, where, found, advice) if free < context.limits.free_bytes_low else ok(check, where, found)


def _file_system(file: Path) -> Finding:
    check, where = "disk.file-system", str(file)
    try:
        mount = mount_of(file.resolve(), _MOUNTS.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        mount = None
    if mount is None:
        return ok(check, where, "what file system it is on can't be told here")
    if mount.kind in _NETWORK_KINDS:
        found = f"it is on a network file system ({mount.kind}), whose locks SQLite can't rely on"
        return error(check, where, found, "move it to a local disk, or use PostgreSQL")
    if mount.kind in _MEMORY_KINDS:
        found = f"it is in memory ({mount.kind}): the ledger is gone when this machine restarts"
        return error(check, where, found, "move it to a disk")
    if mount.kind in _LAYER_KINDS:
        found = f"it is in a container's own layer ({mount.kind}): the ledger goes with the container"
        return warn(check, where, found, "put it on a volume")
    unsafe = sorted(mount.options & _UNSAFE_OPTIONS)
    if unsafe:
        found = f"{mount.point} is mounted with {unsafe[0]}: a loss of power may lose what was committed"
        return error(check, where, found, "mount it without that option")
    return ok(check, where, f"{mount.kind}, mounted at {mount.point}")


def _syncs(folder: Path, context: CheckContext) -> Finding:
    """Measure how long it takes until a disk says that it has written."""
    check, where = "disk.sync", str(folder)
    if "libeatmydata" in os.environ.get("LD_PRELOAD", ""):
        return error(check, where, "libeatmydata is preloaded: nothing is synced", "take it out of LD_PRELOAD")
    took = []
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            for _ in range(_SYNCS):
                os.write(file.fileno(), _PAGE)
                begun = time.perf_counter()
                os.fsync(file.fileno())
                took.append(time.perf_counter() - begun)
    except OSError as problem:
        advice = "let the account that Farebox runs as write there: SQLite keeps its log beside its file"
        return error(check, where, f"no file can be written there: {problem.strerror}", advice)
    micros = sorted(took)[_SYNCS // 2] * 1_000_000
    if micros < context.limits.fsync_micros_min:
        found = f"fsync takes {micros:.0f} µs, less than any disk: what was committed is lost with the power"
        return warn(
            check, where, found, "look what is behind the file system: memory, or a disk whose cache is not safe"
        )
    return ok(check, where, f"fsync takes {micros / 1000:.2f} ms")


def check_clock(is_synchronised: bool | None) -> list[Finding]:
    """Tell whether this machine's clock follows a time server; None if its kernel does not say."""
    if is_synchronised is None:
        return [ok("clock.synchronised", "this machine", "whether the clock follows a time server can't be told here")]
    if is_synchronised:
        return [ok("clock.synchronised", "this machine", "the clock follows a time server")]
    found = "the clock follows no time server: prices, ends of holds and the ledger's times drift away"
    return [
        warn("clock.synchronised", "this machine", found, "run chrony or systemd-timesyncd: timedatectl set-ntp true")
    ]


def clock_is_synchronised() -> bool | None:
    """Ask the kernel whether something keeps the clock right; None if it does not say."""
    if sys.platform != "linux":
        return None
    timex = ctypes.create_string_buffer(_TIMEX_BYTES)
    if ctypes.CDLL(None).adjtimex(timex) < 0:
        return None
    return not int.from_bytes(timex.raw[_TIMEX_STATUS], sys.byteorder) & _UNSYNCHRONISED


def check_files() -> list[Finding]:
    """Tell whether a process may open a file for each connection that it takes."""
    wanted = HTTP_LIMITS.connections + FILES_BESIDE_CONNECTIONS
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < wanted:
        found = f"a process may open {most:,} files: it takes fewer than its {HTTP_LIMITS.connections:,} connections"
        advice = f"raise the limit to {wanted:,} (ulimit -n, LimitNOFILE= in a systemd unit)"
        return [warn("host.open-files", "this account", found, advice)]
    return [ok("host.open-files", "this account", f"a process may open the {wanted:,} files that it may need")]


async def check_port(context: CheckContext) -> list[Finding]:
    """Tell whether the port is free, or a Farebox serves there, and whether the public URL leads to it."""
    where = f"{context.host}:{context.port}"
    problem = port_problem(context.host, context.port)
    if problem is None:
        return [ok("port.free", where, "the port is free: no server runs there")]
    seconds_max = context.limits.answer_seconds_max
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(context.host, context.host)  # noqa: S104 - it is compared.
    health = await asked_health(f"http://{url_host(host)}:{context.port}", seconds_max)
    if health is None:
        return [error("port.free", where, problem.partition("; ")[0], "stop what has it, or serve on another --port")]
    findings = [ok("port.free", where, f"Farebox {health.version} serves there")]
    own = metadata.version("farebox")
    if health.version != own:
        advice = "restart the server, so that it runs what commands run"
        findings.append(
            warn("port.version", where, f"it serves version {health.version}, this command is {own}", advice)
        )
    if not health.is_ok:
        advice = "look at its log; docs/how-to/operate.md says what it means"
        findings.append(error("port.health", where, f"it says of itself: {health.status}", advice))
    url = context.settings.public_url
    if url and "public_url" not in context.unread and await asked_health(url, seconds_max) is None:
        found = f"a server runs here, and {url} does not lead to one"
        advice = "look at the proxy, DNS and certificate; people reach the server, and links in mails lead, there alone"
        findings.append(warn("port.public-url", "FAREBOX_PUBLIC_URL", found, advice))
    return findings
