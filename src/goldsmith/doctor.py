"""Which tools there are, in which version, what needs them and how to get them."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import shutil
from dataclasses import dataclass

import yaml

from goldsmith import definition, proc

_VERSION = re.compile(r"\d+\.\d+[\w.+-]*")


@dataclass(frozen=True)
class Tool:
    """A tool: argv that prints its version, or the Python distribution that it is."""

    name: str
    needed_by: str
    install: str
    argv: tuple[str, ...] = ()
    required: bool = True


@dataclass(frozen=True)
class Found:
    """A tool and its version; None when it is missing or does not answer."""

    tool: Tool
    version: str | None

    def to_json(self) -> dict[str, object]:
        """The form of `goldsmith doctor --json`."""
        return {
            "name": self.tool.name,
            "version": self.version,
            "found": self.version is not None,
            "required": self.tool.required,
            "needed_by": self.tool.needed_by,
            "install": self.tool.install,
        }


def _apt(package: str) -> str:
    return f"apt-get install {package}"


TOOLS = (
    Tool("python", "everything", _apt("python3 python3-venv")),
    Tool("ansible", "build, converge", "pip install 'ansible>=12,<13'"),
    Tool("ansible-core", "build, converge", "pip install 'ansible-core>=2.19,<2.20'"),
    Tool("ansible-runner", "converge", "pip install ansible-runner"),
    Tool("ansible-playbook", "build, converge", "pip install 'ansible>=12,<13'", ("ansible-playbook", "--version")),
    Tool("packer", "build", _apt("packer"), ("packer", "version")),
    Tool("docker", "build, collect", _apt("docker.io"), ("docker", "--version")),
    Tool(
        "docker engine",
        "build, collect",
        "systemctl start docker (or: dockerd &)",
        ("docker", "version", "--format", "{{.Server.Version}}"),
    ),
    Tool("ssh", "converge, collect", _apt("openssh-client"), ("ssh", "-V")),
    Tool("git", "provenance", _apt("git"), ("git", "--version"), required=False),
    Tool(
        "mmdebstrap",
        "build, where no registry answers",
        _apt("mmdebstrap"),
        ("mmdebstrap", "--version"),
        required=False,
    ),
    Tool("qemu-img", "disks: build, export, collect", _apt("qemu-utils"), ("qemu-img", "--version"), required=False),
    Tool(
        "qemu-system-x86_64",
        "disks: build, verify",
        _apt("qemu-system-x86"),
        ("qemu-system-x86_64", "--version"),
        required=False,
    ),
    Tool("skopeo", "export to oci", _apt("skopeo"), ("skopeo", "--version"), required=False),
    Tool("zstd", "export --compress zstd", _apt("zstd"), ("zstd", "--version"), required=False),
    Tool(
        "vagrant",
        "up --target qemu",
        _apt("vagrant vagrant-libvirt libvirt-daemon-system"),
        ("vagrant", "--version"),
        required=False,
    ),
    Tool(
        "docker compose",
        "up --target docker",
        _apt("docker-compose"),
        ("sh", "-c", "docker compose version 2>/dev/null || docker-compose version 2>/dev/null"),
        required=False,
    ),
    Tool(
        "goldsmith.core",
        "the example's definition",
        "ansible-galaxy collection install goldsmith.core",
        required=False,
    ),
    Tool("molecule", "tests of roles", "pip install molecule", required=False),
)


def examine() -> list[Found]:
    """Look for every tool. Changes nothing."""
    return [Found(tool, _version(tool)) for tool in TOOLS]


def missing(found: list[Found]) -> list[Found]:
    """Those that Goldsmith can't do without."""
    return [each for each in found if each.version is None and each.tool.required]


def _version(tool: Tool) -> str | None:
    if tool.name == "python":
        return platform.python_version()
    if tool.name == "goldsmith.core":
        return _collection_version("goldsmith", "core")
    if not tool.argv:
        try:
            return importlib.metadata.version(tool.name)
        except importlib.metadata.PackageNotFoundError:
            return None
    if shutil.which(tool.argv[0]) is None:
        return None
    answer = proc.run(tool.argv, env={"CHECKPOINT_DISABLE": "1"}, check=False, timeout=30)
    return version_in(answer.text or answer.error) if answer.code == 0 else None


def _collection_version(namespace: str, name: str) -> str | None:
    """Version of an installed collection, or of one in development."""
    from ansible import constants  # noqa: PLC0415 - takes 0.2 s

    for folder in definition.collection_folders(constants.COLLECTIONS_PATHS):
        collection = folder / "ansible_collections" / namespace / name
        for file, key in (("MANIFEST.json", "collection_info"), ("galaxy.yml", None)):
            if (collection / file).is_file():
                data = yaml.safe_load((collection / file).read_text())
                return str((data[key] if key else data)["version"])
    return None


def version_in(text: str) -> str:
    """The first version number in what a program says of itself. Pure."""
    found = _VERSION.search(text)
    return found.group() if found else text.split("\n", 1)[0]
