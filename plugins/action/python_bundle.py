# Copyright: the Goldsmith authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pack a Python application and its hash-pinned libraries on the controller."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

# What an editor or an interpreter leaves behind is not part of an application.
LEFTOVERS = {"__pycache__", ".git", ".venv", "venv", ".pytest_cache", ".mypy_cache", ".ruff_cache"}
# Any fixed time will do: 2000-01-01. (tar warns of 1970.)
MTIME = 946684800
PROBE = (
    "import json,os,sys;"
    "print(json.dumps([sys.version_info[:2],os.uname().machine,os.confstr('CS_GNU_LIBC_VERSION') or '']))"
)


def source_files(root: Path) -> list[Path]:
    """Every file and link of the application, in one order on every machine."""
    found: list[Path] = []
    for folder, folders, files in os.walk(root):
        links = [name for name in folders if Path(folder, name).is_symlink()]
        folders[:] = sorted(set(folders) - LEFTOVERS - set(links))
        found += [Path(folder, name) for name in files + links if not name.endswith((".pyc", "~"))]
    return sorted(found, key=lambda path: path.relative_to(root).as_posix())


def pack(members: list[tuple[str, Path]]) -> bytes:
    """A tar file whose bytes depend on names, contents and execute bits alone."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for folder in sorted({parent for name, _content in members for parent in parents(name)}):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, 0o755, MTIME
            tar.addfile(entry)
        for name, path in members:
            entry = tarfile.TarInfo(name)
            entry.mtime = MTIME
            if path.is_symlink():
                entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, str(path.readlink()), 0o777
                tar.addfile(entry)
                continue
            content = path.read_bytes()
            entry.size, entry.mode = len(content), 0o755 if path.stat().st_mode & 0o100 else 0o644
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def parents(name: str) -> list[str]:
    """`a/b/c` lies in `a` and `a/b`."""
    parts = name.split("/")[:-1]
    return ["/".join(parts[: index + 1]) for index in range(len(parts))]


def platforms(machine: str, libc: str) -> list[str]:
    """The wheel platforms that a host takes: newest C library first, then older ones, then the old names."""
    family, _space, version = libc.partition(" ")
    if family != "glibc":
        raise AnsibleActionFail(f"the host's C library is {libc or 'unknown'}; wheels are chosen for glibc only")
    minor = int(version.split(".")[1])
    names = [f"manylinux_2_{number}_{machine}" for number in range(minor, 16, -1)]
    return [*names, f"manylinux2014_{machine}"]


def pip_command() -> list[str]:
    """How pip is called on the controller."""
    probe = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False)
    if probe.returncode == 0:
        return [sys.executable, "-m", "pip"]
    pip = shutil.which("pip3") or shutil.which("pip")
    if pip is None:
        raise AnsibleActionFail("the controller has no pip: install python3-pip, or pip into Ansible's environment")
    return [pip]


def download_argv(requirements: Path, into: Path, python: tuple[int, int], names: list[str]) -> list[str]:
    """The arguments of pip: wheels only, every hash checked, for the host's platform and not the controller's."""
    argv = ["download", "--quiet", "--disable-pip-version-check", "--no-input"]
    argv += ["--require-hashes", "--only-binary=:all:"]
    argv += ["--implementation", "cp", "--python-version", f"{python[0]}.{python[1]}"]
    for name in names:
        argv += ["--platform", name]
    return [*argv, "--dest", str(into), "--requirement", str(requirements)]


def write_whole(path: Path, content: bytes) -> None:
    """Under a temporary name first: a reader sees the whole file or none."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def fetch_wheels(requirements: Path, archive: Path, python: tuple[int, int], names: list[str]) -> bool:
    """Download and pack, unless another run has done it. True when this run did."""
    with archive.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if archive.exists():
            return False
        with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".wheels-") as folder:
            argv = [*pip_command(), *download_argv(requirements, Path(folder), python, names)]
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            if done.returncode:
                reason = (done.stderr or done.stdout).strip().splitlines()[-3:]
                raise AnsibleActionFail(
                    f"cannot download the wheels that {requirements} names for Python {python[0]}.{python[1]}: "
                    f"{' '.join(reason)}"
                )
            members = [(f"wheels/{path.name}", path) for path in sorted(Path(folder).iterdir())]
            write_whole(archive, pack(members))
    return True


class ActionModule(ActionBase):
    """Works on the controller; asks the host one question."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Pack, download where needed, and say what the release is called."""
        result = super().run(tmp, task_vars)
        _result, arguments = self.validate_argument_spec(
            argument_spec={
                "source": {"type": "path", "required": True},
                "requirements": {"type": "str", "default": "requirements.txt"},
                "python": {"type": "path", "default": "/usr/bin/python3"},
                "cache": {"type": "path", "default": "~/.cache/goldsmith/python"},
            }
        )
        root, cache = Path(arguments["source"]), Path(arguments["cache"])
        if not root.is_dir():
            raise AnsibleActionFail(f"there is no folder {root} on the controller")
        cache.mkdir(parents=True, exist_ok=True)
        python, machine, libc = self._ask_host(arguments["python"])

        files = source_files(root)
        if not files:
            raise AnsibleActionFail(f"the folder {root} is empty")
        packed = pack([(f"app/{path.relative_to(root).as_posix()}", path) for path in files])
        release = hashlib.sha256(packed)
        archive = cache / f"source-{hashlib.sha256(packed).hexdigest()[:16]}.tar"
        if not archive.exists():
            write_whole(archive, packed)

        wheels, downloaded = "", False
        if arguments["requirements"]:
            requirements = root / arguments["requirements"]
            if not requirements.is_file():
                raise AnsibleActionFail(f"there is no file {requirements} on the controller")
            text = requirements.read_bytes()
            key = hashlib.sha256(b"\0".join([text, repr(python).encode(), machine.encode(), libc.encode()]))
            wheels_archive = cache / f"wheels-{key.hexdigest()[:16]}.tar"
            if not (wheels_archive.exists() or self._task.check_mode):
                downloaded = fetch_wheels(requirements, wheels_archive, python, platforms(machine, libc))
            wheels = str(wheels_archive)
            release.update(text)
        release.update(repr(python).encode())
        result.update(
            changed=False,
            release=release.hexdigest()[:16],
            source_archive=str(archive),
            wheels_archive=wheels,
            downloaded=downloaded,
        )
        return result

    def _ask_host(self, python: str) -> tuple[tuple[int, int], str, str]:
        answer = self._low_level_execute_command(f"{shlex.quote(python)} -c {shlex.quote(PROBE)}")
        try:
            version, machine, libc = json.loads(answer["stdout"].strip().splitlines()[-1])
        except (IndexError, ValueError) as error:
            raise AnsibleActionFail(f"{python} does not run on the host: {answer.get('stderr', '').strip()}") from error
        return (int(version[0]), int(version[1])), machine, libc
