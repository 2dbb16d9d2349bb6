"""What exporting asks of other programs, and what it refuses before it begins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from goldsmith import docker, export, export_disk, proc
from goldsmith.compare import Difference
from goldsmith.errors import GoldsmithError, UsageError
from goldsmith.export_disk import Disk
from goldsmith.formats import FORMATS
from goldsmith.progress import Progress
from tests.paths import EXAMPLE

DISK = Disk(Path("/images/web.qcow2"), "qcow2", 2**26)
IMAGE = export.Image("goldsmith/web", {"Id": "sha256:1", "RepoTags": ["goldsmith/web:1a2b", "goldsmith/web:latest"]})


@pytest.mark.parametrize(
    ("name", "compress", "options"),
    [
        ("raw", "", []),
        ("qcow2", "", []),
        ("qcow2", "zstd", ["-c", "-o", "compression_type=zstd,cluster_size=1M"]),
        ("qcow2", "gzip", ["-c", "-o", "compression_type=zlib"]),
        ("vmdk", "zstd", ["-o", "subformat=streamOptimized,adapter_type=lsilogic,hwversion=10"]),
        ("vhd", "", ["-o", "subformat=dynamic,force_size=on"]),
    ],
)
def test_convert(name: str, compress: str, options: list[str]) -> None:
    form = FORMATS[name]
    argv = export_disk.convert_argv(DISK, form, Path("/out/web"), compress)
    assert argv[:6] == ["qemu-img", "convert", "-f", "qcow2", "-O", form.driver]
    assert argv[6:] == [*options, "/images/web.qcow2", "/out/web"]


def test_compare_says_both_formats_and_guesses_none() -> None:
    argv = export_disk.compare_argv(DISK, FORMATS["vhd"], Path("/out/web.vhd"))
    assert argv[2:] == ["-f", "qcow2", "-F", "vpc", "/images/web.qcow2", "/out/web.vhd"]


def test_skopeo_needs_no_policy_and_keeps_the_tag() -> None:
    argv = export.skopeo_argv("saved.tar", "oci/web.oci.tar", IMAGE.tag, "zstd")
    assert "--insecure-policy" in argv
    assert argv[-2:] == ["docker-archive:saved.tar", "oci-archive:oci/web.oci.tar:goldsmith/web:latest"]
    assert argv[-4:-2] == ["--dest-compress-format", "zstd"]
    assert export.skopeo_argv("saved.tar", "a.tar", "", "")[-1] == "oci-archive:a.tar"


@pytest.mark.parametrize(
    ("reference", "tag"),
    [("goldsmith/web:1a2b", "goldsmith/web:1a2b"), ("goldsmith/web", "goldsmith/web:latest"), ("sha256:1", "")],
)
def test_the_tag_is_the_one_that_was_named(reference: str, tag: str) -> None:
    assert export.Image(reference, IMAGE.inspected).tag == tag


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("goldsmith/base:debian-12", "goldsmith-base-debian-12"),
        ("a b&c", "a-b-c"),
        (".hidden", "hidden"),
        ("é", "image"),
    ],
)
def test_names_of_artifacts_need_no_quoting(text: str, name: str) -> None:
    assert export.file_name(text) == name


def test_names_of_what_is_laid_down() -> None:
    assert export.names("web", FORMATS["vmdk"], "zstd") == ["web.vmdk", "web.vmdk.sha256", "web.vmx"]
    assert export.names("web", FORMATS["raw"], "zstd") == ["web.raw.zst", "web.raw.zst.sha256"]
    every = [name for form in FORMATS.values() for name in export.names("web", form, "")]
    assert len(set(every)) == len(every)


def test_formats_come_once_and_a_misspelt_one_is_named() -> None:
    assert [form.name for form in export.formats(["ova", "raw", "ova"], "")] == ["ova", "raw"]
    with pytest.raises(UsageError, match='no format "vdmk"') as caught:
        export.formats(["vdmk"], "")
    assert caught.value.hint == 'did you mean "vmdk"?'
    with pytest.raises(UsageError, match='no compression "zst"') as caught:
        export.formats(["raw"], "zst")
    assert caught.value.hint == 'did you mean "zstd"?'


@pytest.mark.parametrize(("what", "name"), [(DISK, "oci"), (IMAGE, "vmdk")])
def test_a_format_that_is_not_made_of_the_source(what: Any, name: str, tmp_path: Path) -> None:
    progress = Progress(Console(quiet=True), "")
    with pytest.raises(UsageError, match=f"can't become {name}") as caught:
        export.export(what, "web", [FORMATS[name]], tmp_path / "out", progress)
    assert "it can become: " in caught.value.hint
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["ssh:web1", "nothing.raw"])
def test_a_source_that_is_none(text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        export.source(text, tmp_path, "docker")
    assert "docker-image:NAME" in caught.value.hint


def test_a_source_by_its_name_in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker, "inspect_image", lambda reference: {"Id": f"sha256:{reference}"})
    what, name, folder = export.source("web", EXAMPLE, "docker")
    assert (what.kind, str(what), name) == ("docker", "the Docker image goldsmith/web", "web")
    assert folder == EXAMPLE / "artifacts/export"
    monkeypatch.setattr(docker, "inspect_image", lambda _reference: None)
    with pytest.raises(UsageError, match="no Docker image goldsmith/web here") as caught:
        export.source("web", EXAMPLE, "docker")
    assert "goldsmith build web" in caught.value.hint


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"format": "vmdk", "virtual-size": 512}, "in the format vmdk"),
        ({"format": "qcow2", "virtual-size": 512, "backing-filename": "/etc/shadow"}, "stands on another file"),
        (
            {"format": "qcow2", "virtual-size": 512, "format-specific": {"data": {"data-file": "x"}}},
            "stands on another file",
        ),
        ({"format": "raw", "virtual-size": 1024}, "whole sectors"),
    ],
)
def test_a_file_that_is_no_whole_disk(
    said: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "disk"
    path.write_bytes(b"x" * 600)
    answer = proc.Completed(("qemu-img",), 0, json.dumps(said).encode(), b"")
    monkeypatch.setattr(proc, "run", lambda *_arguments, **_options: answer)
    with pytest.raises(UsageError, match=message):
        export.disk(path)


ACL = "user::rwx,group::r-x,group:adm:r-x,mask::r-x,other::r-x"
CAPABILITY = {"security.capability": "sha256:2"}


@pytest.mark.parametrize(
    ("difference", "fine"),
    [
        (Difference("files", "/.dockerenv", None, "only_b", None, {}), True),
        (Difference("files", "/.dockerenv", None, "only_a", {}, None), False),
        (Difference("files", "/etc/passwd", None, "only_b", None, {}), False),
        (Difference("files", "/etc/mtab", "target", "changed", "../proc/self/mounts", "/proc/mounts"), True),
        (Difference("files", "/etc/mtab", "target", "changed", "../proc/self/mounts", "/etc/shadow"), False),
        (Difference("files", "/etc/hosts", "sha256", "changed", "1", "2"), False),
        (Difference("files", "/var/log/journal", "acl", "changed", ACL, None), True),
        (Difference("files", "/var/log/journal", "default_acl", "changed", ACL, None), True),
        (Difference("files", "/var/log/journal", "acl", "changed", None, ACL), False),
        (Difference("files", "/bin/ping", "xattrs", "changed", CAPABILITY, None), False),
        (Difference("packages", "nginx", None, "only_b", None, {}), False),
    ],
)
def test_what_docker_export_does_to_every_image(difference: Difference, fine: bool) -> None:
    assert export.dockers_own(difference) is fine


def test_a_disk_of_another_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "web.raw"
    path.write_bytes(bytes(2**20))

    def run(argv: list[str], **_options: Any) -> proc.Completed:
        return proc.Completed(tuple(argv), 0, b"Warning: Image size mismatch!\nImages are identical.\n", b"")

    monkeypatch.setattr(proc, "run", run)
    monkeypatch.setattr(proc, "require", lambda program: program)
    progress = Progress(Console(quiet=True), "")
    with pytest.raises(GoldsmithError, match="is not the source: Warning: Image size mismatch!"):
        export.export(Disk(path, "raw", 2**20), "web", [FORMATS["vdi"]], tmp_path / "out", progress)
    assert not (tmp_path / "out").exists()


def test_nothing_but_an_artifact_is_replaced(tmp_path: Path) -> None:
    source = tmp_path / "web.raw"
    source.write_bytes(bytes(512))
    (tmp_path / "web.vdi").mkdir()
    (tmp_path / "web.pvm").mkdir()
    progress = Progress(Console(quiet=True), "")
    for name, message in (("raw", "is the source itself"), ("vdi", "is a folder"), ("parallels", "is a folder")):
        with pytest.raises(GoldsmithError, match=message):
            export.export(Disk(source, "raw", 512), "web", [FORMATS[name]], tmp_path, progress)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["web.pvm", "web.raw", "web.vdi"]
