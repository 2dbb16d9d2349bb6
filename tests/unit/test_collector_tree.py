"""Trees: a directory and an image archive of the same files give the same sections."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import socket
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.goldsmith.core.plugins.module_utils.collector import (
    SCHEMA,
    archive,
    command,
    document,
    files,
    tree,
    units,
)

from tests.paths import FIXTURES, ROOT

Layer = list[tuple[str, Any]]
# Imports come first: the interpreter itself may lie where nobody else may read.
AS_NOBODY = (
    "import argparse, locale, os, shutil, sys, collector.command as m, collector.document;"
    "os.setuid(65534) if os.geteuid() == 0 else 0; sys.exit(m.main())"
)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def info(name: str, kind: bytes = tarfile.REGTYPE, **more: Any) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    for key, value in more.items():
        setattr(member, key, value)
    return member


def layer(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as target:
        for member, data in members:
            member.size = len(data)
            target.addfile(member, io.BytesIO(data))
    return out.getvalue()


def saved(path: Path, *layers: bytes, links: bool = False) -> Path:
    """What docker save writes, with these layers."""
    with tarfile.open(path, "w") as target:
        names = []
        for index, data in enumerate(layers):
            name = f"{index}/layer.tar"
            names.append(name)
            if links:
                real = info(f"blobs/{index}", size=len(data))
                target.addfile(real, io.BytesIO(data))
                target.addfile(info(name, tarfile.SYMTYPE, linkname=f"../blobs/{index}"))
            else:
                target.addfile(info(name, size=len(data)), io.BytesIO(data))
        listing = json.dumps([{"Config": "x.json", "RepoTags": ["a:1"], "Layers": names}]).encode()
        target.addfile(info("manifest.json", size=len(listing)), io.BytesIO(listing))
    return path


def image(path: Path, *layers: bytes, **how: Any) -> dict[str, Any]:
    with archive.DockerArchive(saved(path, *layers, **how)) as source:
        return files.collect(source)  # type: ignore[no-any-return]


DIR = tarfile.DIRTYPE
LOWER = layer(
    (info("etc", DIR), b""),
    (info("etc/a"), b"a of below"),
    (info("etc/gone"), b"x"),
    (info("opaque", DIR), b""),
    (info("opaque/old"), b"x"),
    (info("opaque/deep", DIR), b""),
    (info("opaque/deep/old"), b"x"),
    (info("tree", DIR), b""),
    (info("tree/leaf"), b"x"),
    (info("treehouse"), b"stays"),
    (info("becomes-file", DIR), b""),
    (info("becomes-file/x"), b"x"),
    (info("kept", DIR), b""),
    (info("kept/below"), b"x"),
)
UPPER = layer(
    (info("etc/a"), b"a of above"),
    (info("etc/.wh.gone"), b""),
    (info("opaque", DIR, mode=0o700), b""),
    (info("opaque/new"), b"new"),
    (info("opaque/.wh..wh..opq"), b""),
    (info(".wh.tree"), b""),
    (info("becomes-file"), b"now a file"),
    (info("kept", DIR, mode=0o711), b""),
    (info("kept/hard", tarfile.LNKTYPE, linkname="etc/a"), b""),
)


@pytest.mark.parametrize("how", [{}, {"links": True}, {"packed": True}])
def test_layers_hide_what_lies_below(tmp_path: Path, how: dict[str, bool]) -> None:
    pack: Callable[[bytes], bytes] = gzip.compress if how.pop("packed", False) else bytes
    found = image(tmp_path / "x.tar", pack(LOWER), pack(UPPER), **how)
    assert set(found) == {
        *("/", "/etc", "/etc/a", "/opaque", "/opaque/new", "/treehouse"),
        *("/becomes-file", "/kept", "/kept/below", "/kept/hard"),
    }
    assert found["/etc/a"]["sha256"] == found["/kept/hard"]["sha256"] == sha(b"a of above")
    assert found["/opaque"]["mode"] == "0700"
    assert found["/becomes-file"] == {
        "type": "file",
        "mode": "0644",
        "owner": "0",
        "group": "0",
        "size": 10,
        "sha256": sha(b"now a file"),
    }
    assert found["/kept"]["mode"] == "0711"


def test_an_entry_hidden_and_made_again_in_one_layer_stays(tmp_path: Path) -> None:
    again = layer((info("tree", DIR), b""), (info("tree/new"), b"n"), (info(".wh.tree"), b""))
    found = image(tmp_path / "x.tar", LOWER, again)
    assert "/tree/new" in found
    assert "/tree/leaf" not in found


def test_members_cannot_lead_out_of_the_root(tmp_path: Path) -> None:
    hostile = layer(
        (info("../../outside"), b"x"),
        (info("/abs"), b"x"),
        (info("etc", DIR), b""),
        (info("etc/passwd", tarfile.SYMTYPE, linkname="../../../../../../etc/passwd"), b""),
        (info("loop", tarfile.SYMTYPE, linkname="loop"), b""),
    )
    with archive.DockerArchive(saved(tmp_path / "x.tar", hostile)) as source:
        assert set(source.entries) == {"/", "/outside", "/abs", "/etc", "/etc/passwd", "/loop"}
        assert source.read("/etc/passwd") is None
        assert source.read("/loop") is None


def test_xattrs_and_devices_from_an_archive(tmp_path: Path) -> None:
    raw = bytes.fromhex("0100000200200000000000000000000000000000").decode("utf-8", "surrogateescape")
    ping = info("ping", pax_headers={"SCHILY.xattr.security.capability": raw})
    null = info("null", tarfile.CHRTYPE, devmajor=1, devminor=3)
    found = image(tmp_path / "x.tar", layer((ping, b"p"), (null, b"")))
    assert found["/ping"]["xattrs"] == {"security.capability": "cap_net_raw=ep"}
    assert found["/null"]["device"] == "1:3"


@pytest.mark.parametrize("keep", [10, 700, 2000, 6000, 10500, 13000])
def test_an_archive_cut_short_is_refused(tmp_path: Path, keep: int) -> None:
    whole = saved(tmp_path / "x.tar", layer((info("a"), b"a" * 6000), (info("b"), b"b" * 3000))).read_bytes()
    cut = tmp_path / "cut.tar"
    cut.write_bytes(whole[:keep])
    with pytest.raises(archive.ArchiveError, match=r"cut\.tar"):
        archive.DockerArchive(cut)


def test_what_is_no_image_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello\n" * 1000)
    with pytest.raises(archive.ArchiveError):
        archive.DockerArchive(tmp_path / "text")
    with tarfile.open(tmp_path / "plain.tar", "w") as target:
        target.addfile(info("x"))
    with pytest.raises(archive.ArchiveError, match=r"no manifest\.json"):
        archive.DockerArchive(tmp_path / "plain.tar")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A root directory with ordinary and odd things in it."""
    root = tmp_path / "root"
    contents = {
        "etc/os-release": "ID=debian\nVERSION_ID=12\n",
        "etc/passwd": f"root:x:0:0:root:/root:/bin/sh\nme:x:{os.geteuid()}:{os.getegid()}::/:/bin/sh\n",
        "etc/group": f"root:x:0:\nme:x:{os.getegid()}:\n",
        "etc/shadow": "root:$y$secret:1::::::\n",
        "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
        "etc/hostname": "web1\n",
        "etc/ssh/ssh_host_ed25519_key": "PRIVATE\n",
        "etc/ssh/sshd_config": "Port 22\n",
        "var/lib/dpkg/status": (FIXTURES / "dpkg/status").read_text(),
        "var/log/syslog": "line\n",
        "var/log/nginx/access.log": "line\n",
        "var/cache/apt/pkgcache.bin": "x",
        "var/lib/apt/lists/deb": "x",
        "var/lib/docker/engine-id": "0b4c",
        "var/lib/docker/overlay2/abc/diff/etc/passwd": "x",
        "var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db": "x",
        "var/lib/containers/storage/vfs-images/images.json": "x",
        "var/lib/docker-other/x": "x",
        "var/lib/postgresql/15/main/base/1/2": "x",
        "var/lib/redis/dump.rdb": "x",
        "tmp/x": "x",
        "var/tmp/x": "x",
        "run/x": "x",
        "proc/1/status": "x",
        "root/.ansible/tmp/ansible-tmp-1/AnsiballZ_x.py": "x",
        "opt/venv/lib/python3.11/site-packages/flask-3.0.0.dist-info/METADATA": "Name: Flask\nVersion: 3.0.0\n\n",
        "usr/big": "b" * 3_000_000,
        "usr/empty": "",
    }
    for name, text in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "usr/run-me").write_text("#!/bin/sh\n")
    (root / "usr/run-me").chmod(0o4755)
    (root / "etc/shadow").chmod(0o640)
    (root / "usr/link").symlink_to("../../../../../../etc/hostname")
    (root / "usr/loop").symlink_to("loop")
    (root / "usr/dangling").symlink_to("/nowhere")
    os.mkfifo(root / "usr/fifo", 0o600)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "usr/socket"))
    for odd in (b"latin-\xe9", b"new\nline", "\U0001f600".encode(), b"back\\slash"):
        (root / "usr" / os.fsdecode(odd)).write_text("odd")
    return root


def test_a_directory(machine: Path) -> None:
    source = tree.DirectoryTree(machine)
    found = files.collect(source)
    assert source.warnings == []
    expected = {"type": "file", "mode": "4755", "size": 10, "sha256": sha(b"#!/bin/sh\n")}
    assert {name: found["/usr/run-me"][name] for name in expected} == expected
    assert found["/usr/big"]["sha256"] == sha(b"b" * 3_000_000)
    assert found["/usr/empty"]["sha256"] == sha(b"")
    assert found["/usr/fifo"]["type"] == "fifo"
    assert found["/usr/loop"]["target"] == "loop"
    assert "mode" not in found["/usr/loop"]
    assert "/usr/socket" not in found
    assert "/usr/latin-\ufffde9" in found
    assert "/usr/new\nline" in found
    owner = "root" if os.geteuid() == 0 else "me"
    assert found["/usr/big"]["owner"] == owner


def test_each_path_says_which_package_alone_brings_it(tmp_path: Path) -> None:
    for name, content in {
        "usr/lib/a.so": "",
        "usr/bin/tool": "the diverting package's",
        "usr/bin/tool.distrib": "the diverted one",
        "etc/a.conf": "",
        "etc/own": "",
        "var/lib/dpkg/arch": "amd64\n",
        "var/lib/dpkg/info/a:amd64.list": "/.\n/usr\n/lib\n/lib/a.so\n/etc/a.conf\n/usr/bin/tool\n/gone\n",
        "var/lib/dpkg/info/b.list": "/.\n/usr\n/usr/bin/tool\n/usr/share/b\n",
        "var/lib/dpkg/diversions": "/usr/bin/tool\n/usr/bin/tool.distrib\nb\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    (tmp_path / "usr/share/b").mkdir(parents=True)
    (tmp_path / "lib").symlink_to("usr/lib")
    found = document.collect(tree.DirectoryTree(str(tmp_path)), "rest")["sections"]["files"]
    assert {path: each["package"] for path, each in found.items() if "package" in each} == {
        "/lib": "a",
        "/usr/lib/a.so": "a",
        "/etc/a.conf": "a",
        "/usr/bin/tool": "b",
        "/usr/bin/tool.distrib": "a",
        "/usr/share/b": "b",
    }


def test_what_changes_by_itself_is_left_out(machine: Path) -> None:
    found = files.collect(tree.DirectoryTree(machine))
    below = [path for path in found if path.startswith(("/tmp", "/run", "/proc", "/var/tmp", "/root/.ansible/tmp"))]  # noqa: S108
    assert below == []
    assert "/root/.ansible" in found
    assert found["/var/log/nginx"]["type"] == "directory"
    assert not any(path.endswith((".log", "syslog", ".bin", "lists/deb")) for path in found)


def test_what_engines_and_databases_work_with_is_no_part_of_the_machine(machine: Path) -> None:
    found = files.collect(tree.DirectoryTree(machine))
    engines = {path for path in found if path.startswith(("/var/lib/docker", "/var/lib/container"))}
    assert engines == {
        *("/var/lib/docker", "/var/lib/containerd", "/var/lib/containers"),
        *("/var/lib/docker-other", "/var/lib/docker-other/x"),
    }
    databases = {path for path in found if path.startswith(("/var/lib/postgresql", "/var/lib/redis"))}
    assert databases == {"/var/lib/postgresql", "/var/lib/redis"}
    (machine / "var/lib/docker").chmod(0o711)
    assert files.collect(tree.DirectoryTree(machine))["/var/lib/docker"]["mode"] == "0711"


def test_secrets_are_not_read_into_it(machine: Path) -> None:
    whole = document.canonical(document.collect(tree.DirectoryTree(machine), document.REST))
    assert "secret" not in whole
    assert sha((machine / "etc/shadow").read_bytes()) not in whole
    shadow = json.loads(whole)["sections"]["files"]["/etc/shadow"]
    assert set(shadow) == {"type", "mode", "owner", "group"}
    assert json.loads(whole)["sections"]["users"]["root"]["password"] == "set"  # noqa: S105


def test_identity_is_apart(machine: Path) -> None:
    whole = document.collect(tree.DirectoryTree(machine), document.REST)
    assert set(whole["identity"]) == {
        *("machine_id", "hostname", "docker_engine_id"),
        "ssh_host_key /etc/ssh/ssh_host_ed25519_key",
    }
    assert whole["identity"]["hostname"]["sha256"] == sha(b"web1")
    assert "/etc/machine-id" not in whole["sections"]["files"]
    assert "/etc/ssh/sshd_config" in whole["sections"]["files"]
    (machine / "etc/machine-id").write_text("uninitialized\n")
    assert document.collect(tree.DirectoryTree(machine), document.REST)["identity"]["machine_id"]["state"] == "empty"
    assert document.collect(tree.DirectoryTree(machine), document.REST)["digest"] == whole["digest"]


def test_links_are_followed_inside_the_root_only(machine: Path) -> None:
    source = tree.DirectoryTree(machine)
    assert source.text("/usr/link") == "web1\n"
    assert source.read("/usr/loop") is None
    assert source.read("/usr/dangling") is None
    assert source.read("/usr") is None
    assert source.resolve("/usr/../../../etc/./hostname") == "/etc/hostname"


def test_two_collections_are_equal_byte_for_byte(machine: Path) -> None:
    one, other = (document.canonical(document.collect(tree.DirectoryTree(machine), document.REST)) for _ in range(2))
    assert one == other
    assert one.isascii()


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "usr/big").write_text("b" * 2_999_999 + "c"),
        lambda root: (root / "usr/big").chmod(0o600),
        lambda root: (root / "usr/empty").unlink(),
        lambda root: (root / "usr/new").mkdir(),
        lambda root: ((root / "usr/loop").unlink(), (root / "usr/loop").symlink_to("other")),
        lambda root: (root / "var/log/nginx").chmod(0o700),
        lambda root: (root / "etc/shadow").write_text("root:!:1::::::\n"),
    ],
)
def test_every_change_changes_the_digest(machine: Path, change: Callable[[Path], object]) -> None:
    before = document.collect(tree.DirectoryTree(machine), document.REST)["digest"]
    change(machine)
    assert document.collect(tree.DirectoryTree(machine), document.REST)["digest"] != before


def test_times_do_not(machine: Path) -> None:
    before = document.collect(tree.DirectoryTree(machine), document.REST)["digest"]
    os.utime(machine / "usr/big", (1, 1))
    (machine / "var/log/syslog").write_text("another line\n")
    assert document.collect(tree.DirectoryTree(machine), document.REST)["digest"] == before


def test_an_archive_of_a_directory_is_equal_to_it(machine: Path, tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as target:
        target.add(machine, arcname=".")
    name = saved(tmp_path / "image.tar", out.getvalue())
    with archive.DockerArchive(name) as source:
        at_rest = document.collect(source, document.REST)
    assert at_rest == document.collect(tree.DirectoryTree(machine), document.REST)
    assert at_rest["schema"] == SCHEMA
    assert at_rest["sections"]["libraries"] == {
        "/opt/venv/lib/python3.11/site-packages/flask": {"kind": "python", "version": "3.0.0"}
    }


@as_root
def test_mounts_are_named_and_not_entered(machine: Path) -> None:
    (machine / "data").mkdir()
    code = "mount -t tmpfs none $0/data && echo x >$0/data/x && mount --bind $0/usr/big $0/etc/hostname"
    code += " && exec $1 -m collector.command --root $0"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", code, machine, sys.executable],
        cwd=ROOT / "plugins/module_utils",
        capture_output=True,
        check=False,
    )
    if b"unshare" in done.stderr or b"mount:" in done.stderr:
        pytest.skip("no right to mount here")
    found = json.loads(done.stdout)
    assert found["sections"]["files"]["/data"] == {"type": "mount"}
    assert "/data/x" not in found["sections"]["files"]
    assert "mode" not in found["identity"]["hostname"]


def test_what_cannot_be_read_is_said(machine: Path) -> None:
    (machine / "usr/big").chmod(0)
    (machine / "opt").chmod(0)
    for folder in (machine, *list(machine.parents)[:3]):
        folder.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, "--root", machine],
        cwd=ROOT / "plugins/module_utils",
        capture_output=True,
        check=True,
    )
    found = json.loads(done.stdout)
    (machine / "opt").chmod(0o755)
    assert found["sections"]["files"]["/usr/big"]["unreadable"] is True
    assert "sha256" not in found["sections"]["files"]["/usr/big"]
    assert found["sections"]["files"]["/opt"]["unreadable"] is True
    assert any(line.startswith("/usr/big: can't be read") for line in found["warnings"])


def test_unit_files_as_systemctl_sees_them(tmp_path: Path) -> None:
    """All unit files of a Debian 12 machine, and some made to be hard; beside them what systemctl said there."""
    with tarfile.open(FIXTURES / "units/debian-12.tar.gz") as recorded:
        recorded.extractall(tmp_path)  # noqa: S202 - our own fixture
    (tmp_path / "lib").symlink_to("usr/lib")
    said = dict(line.split() for line in (FIXTURES / "units/debian-12.list-unit-files.txt").read_text().splitlines())
    found = units.collect(tree.DirectoryTree(tmp_path))
    ours = {name: unit["state"] for name, unit in found.items() if name in said}
    assert ours == said
    assert {"enabled", "disabled", "static", "masked", "alias", "indirect", "linked", "bad"} == set(said.values())
    # Enabled for this boot only, by a generator: not part of what the files say. Instances are not listed there.
    instances = {"inst@a.service", "dflt@one.service", "getty@tty1.service"}
    assert set(found) - set(said) == {"console-getty.service", "systemd-remount-fs.service"} | instances
    assert found["getty@tty1.service"] == {
        "state": "enabled",
        "path": "/usr/lib/systemd/system/getty@.service",
        "template": "getty@.service",
        "wanted_by": ["getty.target"],
    }
    assert found["apt-daily.timer"]["schedule"] == [
        "OnCalendar=*-*-* 6,18:00",
        "RandomizedDelaySec=12h",
        "Persistent=true",
    ]
    assert found["other-name.service"]["alias_of"] == "aliased.service"
    assert found["linked.service"]["linked_from"] == "/opt/units/linked.service"
    assert found["dropped.service"]["drop_ins"] == ["/etc/systemd/system/dropped.service.d/install.conf"]


def run(*arguments: str, folder: Path = ROOT / "plugins/module_utils") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False, env={"LC_ALL": "C"}
    )


def test_command_line(machine: Path, tmp_path: Path) -> None:
    done = run("-m", "collector.command", "--root", str(machine))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("}\n")
    assert document.canonical(json.loads(done.stdout)) + "\n" == done.stdout

    absent = run("-m", "collector.command", "--root", str(tmp_path / "absent"))
    assert (absent.returncode, absent.stdout, absent.stderr.count("\n")) == (1, "", 1)
    (tmp_path / "text").write_text("x" * 2000)
    broken = run("-m", "collector.command", "--docker-archive", str(tmp_path / "text"))
    assert (broken.returncode, broken.stdout, broken.stderr.count("\n")) == (1, "", 1)
    assert run("-m", "collector.command", "--nonsense").returncode == 2
    assert run("-m", "collector.command", "--root", str(machine), "--scope", "live").returncode == 2
    assert command.main(["--root", str(tmp_path / "absent")]) == 1


def test_it_runs_from_a_zip_and_writes_nothing(machine: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as target:
        target.writestr("__main__.py", "from collector.command import main\nraise SystemExit(main())\n")
        for each in (ROOT / "plugins/module_utils/collector").rglob("*.py"):
            target.write(each, each.relative_to(ROOT / "plugins/module_utils"))
    before = {path: path.lstat() for path in sorted(machine.rglob("*"))}
    done = run(str(tmp_path / "c.zip"), "--root", str(machine), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    after = {path: path.lstat() for path in sorted(machine.rglob("*"))}
    assert {path: (one.st_mtime_ns, one.st_ctime_ns) for path, one in before.items()} == {
        path: (one.st_mtime_ns, one.st_ctime_ns) for path, one in after.items()
    }


def test_a_file_that_goes_or_changes_while_it_is_read(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_open, real_read = os.open, os.read

    def vanish(name: Any, *rest: Any, **more: Any) -> int:
        if name == "empty":
            raise FileNotFoundError(2, "gone")
        return real_open(name, *rest, **more)

    monkeypatch.setattr(os, "open", vanish)
    source = tree.DirectoryTree(machine)
    assert "/usr/empty" not in source.entries
    assert "/usr/big" in source.entries
    assert source.warnings == []
    monkeypatch.setattr(os, "open", real_open)

    grown = []

    def grow(handle: int, length: int) -> bytes:
        if not grown and os.fstat(handle).st_size == 3_000_000:
            grown.append(1)
            with (machine / "usr/big").open("a") as target:
                target.write("more")
        return real_read(handle, length)

    monkeypatch.setattr(os, "read", grow)
    source = tree.DirectoryTree(machine)
    entry = source.entries["/usr/big"]
    assert source.warnings == []
    assert (entry.size, entry.sha256) == (3_000_004, hashlib.sha256(b"b" * 3_000_000 + b"more").digest())


def test_a_folder_that_is_replaced_while_it_looks_is_taken_as_gone(
    machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/private").write_text("x")
    real = os.open

    def swap(name: Any, *rest: Any, **more: Any) -> int:
        if str(name).endswith("/var/lib/dpkg") and not (tmp_path / "aside").exists():
            (machine / "var/lib").rename(tmp_path / "aside")
            (machine / "var/lib").symlink_to(tmp_path / "outside")
            (tmp_path / "outside/dpkg").mkdir()
            (tmp_path / "outside/dpkg/private").write_text("x")
        return real(name, *rest, **more)

    monkeypatch.setattr(os, "open", swap)
    found = tree.DirectoryTree(machine).entries
    assert (tmp_path / "aside").exists()
    assert not any("private" in path for path in found)


def test_warnings_come_in_one_order() -> None:
    assert document.assemble({}, {}, None, "rest", ["b", "a"])["warnings"] == ["a", "b"]


def test_the_text_comes_in_pieces_and_is_the_canonical_one() -> None:
    many = {f"/{number % 7}/{number}": {"type": "file", "size": number} for number in range(2500)}
    sections = {"files": many, "cron": {}, "os": {'"ü': {"b": [], "a": {}}}}
    found = document.assemble(sections, {"x": {}}, None, "rest", [])
    pieces = list(found.pieces())
    assert "".join(pieces) == document.canonical(found) == document.canonical(dict(found))
    assert max(map(len, pieces)) < len(document.canonical(many)) / 2
    assert found["digest"] == "sha256:" + sha(document.canonical(sections).encode())
