"""The example's disk boots until its application answers through nginx: in every format, and from every firmware."""

from __future__ import annotations

import json
import shlex
import tarfile
from pathlib import Path
from typing import Any

import pytest

from goldsmith import machine
from goldsmith.formats import FORMATS
from tests.integration.conftest import Goldsmith

DISKS = [name for name, form in FORMATS.items() if form.made_of == "disk" and not name.startswith("box-")]
ASK = """
import json, pathlib, time, urllib.request
end = time.monotonic() + 300
while True:
    try:
        answer = urllib.request.urlopen("http://127.0.0.1/health")
        break
    except OSError:
        if time.monotonic() > end:
            raise
        time.sleep(0.5)
secure = list(pathlib.Path("/sys/firmware/efi/efivars").glob("SecureBoot-*"))
print(json.dumps({
    "health": json.load(answer)["status"],
    "server": answer.headers["Server"],
    "uefi": pathlib.Path("/sys/firmware/efi").exists(),
    "secure": [path.read_bytes()[-1] for path in secure],
}))
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every format that a disk is exported to, by its name."""
    folder = tmp_path_factory.mktemp("boots") / "web"
    goldsmith = Goldsmith(folder)
    Goldsmith(Path())("init", str(folder))
    goldsmith("build", "web", "--target", "qemu")
    wanted = [word for name in DISKS for word in ("--format", name)]
    made = goldsmith.json("export", "artifacts/images/web/qemu/web.qcow2", *wanted)
    return {each["format"]: folder / each["path"] for each in made}


def image(artifact: Path, folder: Path) -> Path:
    """The disk's file in what an export laid down."""
    if artifact.suffix == ".ova":
        with tarfile.open(artifact) as archive:
            archive.extract("web.vmdk", folder)
        return folder / "web.vmdk"
    return next(artifact.rglob("*.hds")) if artifact.is_dir() else artifact


def seen_on(disk: Path, folder: Path, firmware: machine.Firmware | None = None) -> dict[str, Any]:
    """Boot the disk; what its application says, and what the kernel was started by."""
    with machine.Machine("boots", disk, folder / "machine", firmware=firmware, cpus=2) as booted:
        found: dict[str, Any] = json.loads(booted.ssh(f"python3 -c {shlex.quote(ASK)}").text)
        return found


@pytest.mark.parametrize("name", DISKS)
def test_every_format_boots(name: str, exported: dict[str, Path], tmp_path: Path) -> None:
    found = seen_on(image(exported[name], tmp_path), tmp_path)
    assert found == {"health": "ok", "server": "nginx", "uefi": False, "secure": []}


def test_uefi_boots_it(exported: dict[str, Path], tmp_path: Path) -> None:
    found = seen_on(exported["qcow2"], tmp_path, machine.UEFI)
    assert found == {"health": "ok", "server": "nginx", "uefi": True, "secure": [0]}


def test_uefi_that_starts_only_what_is_signed_boots_it(exported: dict[str, Path], tmp_path: Path) -> None:
    found = seen_on(exported["qcow2"], tmp_path, machine.SECURE_BOOT)
    assert found == {"health": "ok", "server": "nginx", "uefi": True, "secure": [1]}


def test_what_is_read_at_rest_is_what_was_recorded(exported: dict[str, Path]) -> None:
    folder = exported["vmdk"].parents[2]
    recorded = str(folder / "artifacts/images/web/qemu/manifest.json")
    found = Goldsmith(folder).json("compare", recorded, f"disk:{exported['vmdk']}")
    assert (found["differences"], found["equal"]) == ([], True)
