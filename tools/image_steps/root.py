"""Folders that stand for an image's layers, and what is run in them: by chroot, in mounts that end with it."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

DEBIAN: Final = "bookworm"
PACKAGES: Final = ("ca-certificates", "python3", "python3-pip", "python3-venv")

USER: Final = "10001"
VOLUME: Final = "var/lib/farebox"
RUN_SECONDS_MAX: Final = 1_800

_BOUND: Final = """\
mount --make-rprivate /
mount --rbind /dev {root}/dev
mount -t proc proc {root}/proc
"""
_READ_ONLY: Final = """\
mount --bind {root} {root}
mount --bind {volume} {root}/{volume_path}
mount -t tmpfs -o mode=1777 tmpfs {root}/tmp
mount -t proc proc {root}/proc
mount --rbind /dev {root}/dev
mount -o remount,bind,ro {root}
"""
_WITHOUT_PRIVILEGE: Final = (
    "setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs", "--bounding-set=-all",
    "--inh-caps=-all",
)  # fmt: skip


def make_base(debootstrap: str, folder: Path) -> None:
    """Make a Debian with Python, once; `python` is what the image of that name calls it."""
    if (folder / "usr/local/bin/python").is_symlink():
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    command = [debootstrap, "--variant=minbase", f"--include={','.join(PACKAGES)}", DEBIAN, str(folder)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=RUN_SECONDS_MAX)
    (folder / "usr/local/bin/python").symlink_to("/usr/bin/python3")


def copy_tree(sources: Iterable[Path], target: Path) -> None:
    """Copy files and folders as they are, as root's."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for source in sources:
        subprocess.run(["cp", "--archive", "--no-preserve=ownership", source, target], check=True)


def run_step(root: Path, wheels: Path, command: str, *, folder: str, variables: Mapping[str, str]) -> None:
    """Run a `RUN`: a shell in this root, which finds packages in a folder of wheels alone."""
    (root / "wheels").mkdir(exist_ok=True)
    bound = _BOUND.format(root=shlex.quote(str(root))) + f"mount --bind {wheels} {root}/wheels\n"
    inside = ["/bin/sh", "-ec", f"cd {folder}; {command}"]
    finding = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/wheels"}
    done = subprocess.run(
        _in_mounts(bound, root, [*_environment({**variables, **finding}), *inside]),
        check=False,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS_MAX,
    )
    if done.returncode != 0 or "warning:" in done.stderr:
        sys.exit(f"FAILED  RUN {command}\n{done.stdout}{done.stderr}")
    (root / "wheels").rmdir()


def container(root: Path, volume: Path, command: Sequence[str], variables: Mapping[str, str]) -> list[str]:
    """Return what runs a command as an engine would: first process, the image's user, a root that is only read."""
    mounts = _READ_ONLY.format(root=shlex.quote(str(root)), volume=shlex.quote(str(volume)), volume_path=VOLUME)
    inside = [*_WITHOUT_PRIVILEGE, *_environment(variables), "/bin/sh", "-c", f'cd /{VOLUME}; exec "$@"', "sh"]
    return _in_mounts(mounts, root, [*inside, *command], "--pid", "--kill-child")


def _environment(variables: Mapping[str, str]) -> list[str]:
    path = variables.get("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
    others = [f"{name}={value}" for name, value in variables.items() if name != "PATH"]
    return ["env", "-i", f"PATH={path}", *others]


def _in_mounts(mounts: str, root: Path, command: Sequence[str], *options: str) -> list[str]:
    script = f'set -e\n{mounts}exec chroot "$@"'
    return ["unshare", "--mount", *options, "--fork", "/bin/sh", "-c", script, "sh", str(root), *command]


def own(folder: Path) -> None:
    """Give a volume to the image's user, as an engine does with one that is new."""
    folder.mkdir(mode=0o700)
    os.chown(folder, int(USER), int(USER))
