"""One small system in every form in which systems lie at rest, read without Docker; and what goes wrong."""

from __future__ import annotations

import io
import os
import random
import shutil
import signal
import stat
import struct
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from goldsmith import archives, at_rest, collect, ext4, ext4_tar, files, proc
from goldsmith.errors import GoldsmithError, UsageError
from goldsmith.formats import FORMATS
from tests.integration.conftest import Goldsmith, error
from tests.integration.test_export import left, of
from tests.unit.test_oci import laid, layout, packed, saved

START = 2**20
PARTITION = 20 * 2**20
BLOCK = 1024
"""Of a file system of that size, if nothing else is said."""
CAPABILITY = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)
ACCESS = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *entry)
    for entry in (
        (1, 6, 2**32 - 1),
        (2, 6, 1000),
        (4, 4, 2**32 - 1),
        (8, 4, 50),
        (0x10, 6, 2**32 - 1),
        (0x20, 4, 2**32 - 1),
    )
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A system with all that a file system can have."""
    root = tmp_path_factory.mktemp("system") / "root"
    for folder in ("etc", "usr/lib", "opt/many", "var/lib"):
        (root / folder).mkdir(parents=True)
    (root / "usr/lib/os-release").write_text("ID=debian\nVERSION_ID=12\n")
    (root / "etc/os-release").symlink_to("../usr/lib/os-release")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    opt = root / "opt"
    (opt / "empty").touch()
    (opt / "random").write_bytes(os.urandom(1_500_000))
    (opt / "hard").hardlink_to(opt / "random")
    with (opt / "sparse").open("wb") as file:
        file.seek(5_000_000)
        file.write(b"middle")
        file.truncate(20_000_000)
    (opt / "long-link").symlink_to("x" * 300)
    for name in ("new\nline", os.fsdecode(b"\xff\xfe"), '"quoted"', "it is \u00e4", "x" * 255):
        (opt / name).write_text(repr(name))
    (opt / "setuid").write_text("x")
    (opt / "setuid").chmod(0o4755)
    (opt / "sticky").mkdir()
    (opt / "sticky").chmod(0o3770)
    for number in range(300):
        (opt / f"many/file-{number:05}").write_text(str(number) if number % 3 else "")
    os.mkfifo(opt / "fifo")
    if os.geteuid() == 0:
        os.mknod(opt / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.mknod(opt / "disk", stat.S_IFBLK | 0o660, os.makedev(259, 300_000))
        os.chown(opt / "setuid", 1234, 100_000)
        (opt / "setuid").chmod(0o4755)
        os.setxattr(opt / "setuid", "security.capability", CAPABILITY)
        os.setxattr(opt / "setuid", "system.posix_acl_access", ACCESS)
        os.setxattr(opt / "setuid", "user.a=b", b"\x00\xff\n" + b"v" * 300)
    return root


def file_system(tree: Path, target: Path, *options: str, start: int = START, size: int = PARTITION) -> Path:
    """A raw disk whose first partition begins there and holds the tree; it has no table yet."""
    with target.open("wb") as file:
        file.truncate(start + size)
    # Before 1.48 mke2fs takes no file whose attributes need more than an inode of 256 bytes and a block.
    kind = () if "-t" in options else ("-t", "ext4")
    proc.run(
        ["mke2fs", "-q", *kind, *options, "-E", f"offset={start}", "-d", str(tree), str(target), f"{size // 1024}k"]
    )
    mode = stat.S_IMODE(tree.stat().st_mode)
    system = f"{target}?offset={start}"
    proc.run(["debugfs", "-w", "-R", f"set_inode_field / mode 04{mode:04o}", system])
    proc.run(["debugfs", "-w", "-R", f"set_inode_field / uid {tree.stat().st_uid}", system])
    proc.run(["debugfs", "-w", "-R", f"set_inode_field / gid {tree.stat().st_gid}", system])
    if "inline_data" in options:  # with it, mke2fs 1.47 cuts off what is empty at the end of a file
        proc.run(["debugfs", "-w", "-R", "set_inode_field /opt/sparse size 20000000", system])
    return target


def table(disk: Path, *partitions: tuple[int, int, int]) -> Path:
    """Give it an MBR: (type, first byte, bytes) of each partition."""
    rows = b"".join(struct.pack("<BxxxBxxxII", 0, kind, at // 512, size // 512) for kind, at, size in partitions)
    with disk.open("r+b") as file:
        file.seek(446)
        file.write(rows.ljust(64, b"\0") + b"\x55\xaa")
    return disk


@pytest.fixture(scope="module")
def raw(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raw disk that holds the tree."""
    return table(file_system(tree, tmp_path_factory.mktemp("raw") / "web.raw"), (0x83, START, PARTITION))


@pytest.fixture(scope="module")
def digest(tree: Path) -> str:
    found = collect.collect(collect.Target("dir", str(tree)))
    assert len(found.sections["files"]) > 300
    assert "/opt/new\nline" in found.sections["files"]
    return found.digest


@pytest.fixture
def there(tmp_path: Path) -> Goldsmith:
    """The command line, in an empty folder, with a folder of its own for what is temporary."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "work").mkdir()
    return Goldsmith(tmp_path / "work", {"TMPDIR": str(tmp_path / "tmp")})


def digest_of(goldsmith: Goldsmith, target: str) -> str:
    """What a target's record is; and that nothing is left of reading it."""
    temporary = goldsmith.environment["TMPDIR"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(goldsmith.project)
        patch.setattr(tempfile, "tempdir", temporary)
        patch.setenv("TMPDIR", temporary)
        digest = collect.collect(collect.parse(target)).digest
    assert left(Path(temporary)) == []
    return digest


def tarred(tree: Path) -> bytes:
    done = proc.run(
        [
            "tar",
            "--create",
            "--numeric-owner",
            "--xattrs",
            "--xattrs-include=*",
            "--sparse",
            "--directory",
            str(tree),
            ".",
        ]
    )
    return done.stdout


# The same content is the same record, whichever way it is read.


@pytest.mark.parametrize(("suffix", "options"), [
    ("qcow2", ""), ("qcow2", "compression_type=zstd"), ("vmdk", "subformat=monolithicSparse"),
    ("vmdk", "subformat=streamOptimized"), ("vdi", ""), ("vhdx", ""), ("vhd", "subformat=dynamic,force_size=on"),
    ("vhd", "subformat=fixed,force_size=on"), ("hds", ""), ("raw", ""),
])  # fmt: skip
def test_disks(suffix: str, options: str, raw: Path, digest: str, there: Goldsmith) -> None:
    path = there.project / f"disk.{suffix}"
    compressed = ["-c"] if "compression" in options or "stream" in options else []
    driver = {"vhd": "vpc", "hds": "parallels"}.get(suffix, suffix)
    chosen = ["-o", options] if options else []
    proc.run(["qemu-img", "convert", "-O", driver, *compressed, *chosen, str(raw), str(path)])
    before = path.stat().st_mtime_ns
    assert digest_of(there, f"disk:{path.name}") == digest
    path.rename(path.with_suffix(""))
    assert digest_of(there, "image:disk") == digest
    assert path.with_suffix("").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "options",
    [
        ("-t", "ext3", "-b", "1024"), ("-t", "ext2", "-b", "4096"), ("-b", "1024"), ("-O", "inline_data", "-I", "512"),
        ("-O", "^64bit,^metadata_csum"), ("-O", "bigalloc"), ("-O", "^64bit,^flex_bg,^extents"), ("-O", "ea_inode"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_file_systems(options: tuple[str, ...], tree: Path, digest: str, there: Goldsmith) -> None:
    """Each without a partition table: a disk may be one file system."""
    file_system(tree, there.project / "disk.raw", *options, start=0, size=2 * PARTITION)
    assert digest_of(there, "image:disk.raw") == digest


@pytest.mark.parametrize("pack", ["", "gzip", "xz", "zstd"])
def test_archives(pack: str, tree: Path, digest: str, there: Goldsmith) -> None:
    path = there.project / "root"
    path.write_bytes(tarred(tree))
    images = {"root": path.read_bytes()}
    forms = {"oci": packed(there.project / "oci", layout(*images.values()))}
    forms["saved"] = packed(there.project / "saved", saved(*images.values()))
    if pack:
        for file in (path, *forms.values()):
            packed_file = proc.run([pack, "-c", str(file)]).stdout
            file.write_bytes(packed_file)
    else:
        forms["folder"] = laid(there.project / "folder", layout(*images.values(), pack=bytes))
    for target in ("tar:root", "image:root", *(f"image:{form}" for form in forms)):
        assert digest_of(there, target) == digest


def test_a_layer_packed_with_zstd(tree: Path, digest: str, there: Goldsmith) -> None:
    files = layout(tarred(tree), pack=lambda data: proc.run(["zstd", "-cq"], stdin=data).stdout)
    packed(there.project / "oci", files)
    assert digest_of(there, "image:oci") == digest


def test_what_skopeo_writes(tree: Path, digest: str, there: Goldsmith) -> None:
    packed(there.project / "saved.tar", saved(tarred(tree)))
    for kind, name in (("oci-archive", "web.oci.tar"), ("oci", "folder"), ("docker-archive", "web.tar")):
        argv = ["skopeo", "--insecure-policy", "copy", "-q", "docker-archive:saved.tar", f"{kind}:{name}"]
        proc.run(argv, cwd=there.project)
        assert digest_of(there, f"image:{name}") == digest


def test_bundles_and_boxes(raw: Path, digest: str, there: Goldsmith) -> None:
    """What Goldsmith itself exports, for every provider."""
    formats = [form.name for form in FORMATS.values() if form.provider or form.name in {"ova", "parallels"}]
    assert len(formats) == 7
    made = of(there.json("export", str(raw), *(word for form in formats for word in ("-f", form)), "-o", "out"))
    assert set(made) == set(formats)
    for path in made.values():
        assert digest_of(there, f"image:{path}") == digest


def test_hygiene_and_compare_take_every_word(raw: Path, tree: Path, there: Goldsmith) -> None:
    (there.project / "root.tar").write_bytes(tarred(tree))
    packed(there.project / "oci.tar", layout((there.project / "root.tar").read_bytes()))
    for target in (f"disk:{raw}", f"image:{raw}", "tar:root.tar", "image:root.tar", "image:oci.tar", f"dir:{tree}"):
        assert there.json("hygiene", target)["clean"] is True
        assert there.json("compare", target, f"dir:{tree}")["equal"] is True


def test_a_journal_is_read_as_the_next_boot_would(raw: Path, there: Goldsmith) -> None:
    """A machine was cut off when a change was in the journal only; another change was taken back later in it."""
    path = there.project / "cut.raw"
    shutil.copyfile(raw, path)
    system, new = f"{path}?offset={START}", there.project / "new"
    block = proc.run(["debugfs", "-R", "blocks /usr/lib/os-release", system]).text.split()[0]
    escaped = b"\xc0\x3b\x39\x98ID=replayed\n"
    new.write_bytes(escaped.ljust(BLOCK, b"\0"))
    script = there.project / "script"
    script.write_text(f"journal_open\njournal_write -b {block} {new}\njournal_close\n")
    proc.run(["debugfs", "-w", "-f", str(script), system])
    with at_rest.opened("disk", str(path)) as found, tarfile.open(found.path) as archive:
        member = archive.extractfile("usr/lib/os-release")
        assert member is not None
        assert member.read().startswith(escaped)
    before = path.read_bytes()
    script.write_text(f"journal_open\njournal_write -r {block}\njournal_close\n")
    proc.run(["debugfs", "-w", "-f", str(script), system])
    assert path.read_bytes() != before
    with at_rest.opened("disk", str(path)) as found, tarfile.open(found.path) as archive:
        member = archive.extractfile("usr/lib/os-release")
        assert member is not None
        assert member.read().startswith(b"ID=debian")


# Which of several.


def test_the_root_is_found_by_what_is_in_it(raw: Path, digest: str, there: Goldsmith) -> None:
    """Not by its place, its type or its size; another file system is said to be unread."""
    path = there.project / "two.raw"
    (there.project / "data").mkdir()
    file_system(there.project / "data", path, start=START + PARTITION, size=8 * 2**20)
    with path.open("r+b") as file, raw.open("rb") as source:
        source.seek(START)
        file.seek(START)
        file.write(source.read())
    table(path, (0x83, START + PARTITION, 8 * 2**20), (0x07, START, PARTITION))
    found = collect.collect(collect.Target("disk", str(path)))
    assert found.digest == digest
    assert found.warnings == ["partition 1 of the disk (ext4) is not read"]
    table(path, (0x83, START, PARTITION), (0x83, START, PARTITION))
    message, _hint = error(there("collect", "disk:two.raw", expect=1))
    assert "2 of its partitions are root file systems: 1, 2" in message
    table(path, (0x83, START + PARTITION, 8 * 2**20))
    message, hint = error(there("collect", "disk:two.raw", expect=1))
    assert "no partition of it is a root file system that can be read: 1 (ext4)" in message
    assert "ext4, ext3 and ext2" in hint


@pytest.mark.parametrize(("at", "sign", "said"), [
    (0, b"XFSB", "1 (XFS)"), (0x10040, b"_BHRfS_M", "1 (Btrfs)"), (0, b"LUKS\xba\xbe", "1 (LUKS (encrypted))"),
    (512, b"LABELONE", "1 (LVM)"), (4086, b"SWAPSPACE2", "1 (swap)"), (0, b"", "1 (nothing that is known)"),
])  # fmt: skip
def test_what_is_not_read_is_named(at: int, sign: bytes, said: str, there: Goldsmith) -> None:
    path = there.project / "x.raw"
    with path.open("wb") as file:
        file.truncate(4 * 2**20)
        file.seek(START + at)
        file.write(sign)
    message, _hint = error(there("collect", f"image:{table(path, (0x83, START, 2**20))}", expect=1))
    assert f"no partition of it is a root file system that can be read: {said}" in message


# What is refused.


def test_a_disk_that_stands_on_another_file_gives_nothing_of_it_away(there: Goldsmith, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"root:secret\n" * 1000)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)  # QEMU would wait for ever for whoever writes into it
    folder = there.project
    proc.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(secret), "backed.qcow2"], cwd=folder)
    outside = f"data_file={folder / 'outside'},data_file_raw=on"
    proc.run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", outside, "outside.qcow2", "1M"], cwd=folder)
    for name, other in (("flat", secret), ("waits", fifo)):
        lines = ["# Disk DescriptorFile", "version=1", "CID=1", "parentCID=ffffffff", 'createType="monolithicFlat"']
        text = "\n".join([*lines, f'RW 20 FLAT "{other}" 0', ""])
        (folder / f"{name}.vmdk").write_text(text)
        hidden = (b"KDMV" + struct.pack("<IIQQQQ", 1, 3, 0, 128, 1, 20)).ljust(512, b"\0") + text.encode()
        (folder / f"{name}-hidden.vmdk").write_bytes(hidden.ljust(20 * 512, b"\0"))
    disks = sorted(path.name for path in folder.iterdir() if path.suffix in {".qcow2", ".vmdk"})
    assert len(disks) == 6
    for name in disks:
        for kind in ("disk", "image"):
            message, hint = error(there("collect", f"{kind}:{name}", expect=2))
            assert message == f"{name} is not whole: it stands on another file"
            assert "qemu-img convert" in hint
    # In a box, too.
    box = packed(folder / "x.box", {"metadata.json": b"{}", "box.img": (folder / "backed.qcow2").read_bytes()})
    message, _hint = error(there("hygiene", f"image:{box}", expect=2))
    assert "stands on another file" in message


def test_a_guest_cannot_choose_how_its_disk_is_read(raw: Path, there: Goldsmith) -> None:
    """It may write its disk's first bytes, and say there that it is of another format."""
    path = there.project / "web.raw"
    shutil.copyfile(raw, path)
    proc.run(["qemu-img", "create", "-q", "-f", "qcow2", "other", "1M"], cwd=there.project)
    with path.open("r+b") as file:
        file.write((there.project / "other").read_bytes()[:440])
    assert there("collect", "disk:web.raw").stdout
    message, hint = error(there("collect", "image:web.raw", expect=2))
    assert "is called a raw disk, and has the content of a qcow2 one" in message
    assert "disk:PATH" in hint


def test_sizes_that_are_only_claimed(there: Goldsmith) -> None:
    proc.run(["qemu-img", "create", "-q", "-f", "qcow2", "large.qcow2", "60T"], cwd=there.project)
    message, _hint = error(there("collect", "disk:large.qcow2", expect=2))
    assert "claims to have 65970697666560 bytes" in message
    with (there.project / "large.raw").open("wb") as file:
        file.truncate(3 * 2**40)
    message, _hint = error(there("collect", "disk:large.raw", expect=2))
    assert "claims to have 3298534883328 bytes" in message


@pytest.mark.parametrize("pack", ["gzip", "xz", "zstd"])
def test_a_bomb_is_left_before_it_fills_the_disk(pack: str, there: Goldsmith, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "ALWAYS", 2**24)
    path = there.project / "bomb"
    path.write_bytes(proc.run([pack, "-c"], stdin=bytes(2**26)).stdout)
    assert path.stat().st_size * archives.RATIO < 2**26
    with pytest.raises(GoldsmithError, match=r"bomb unpacks to more than \d+ MiB, which is no honest archive"):
        digest_of(there, "image:bomb")
    assert left(Path(there.environment["TMPDIR"])) == []


@pytest.mark.parametrize("pack", ["gzip", "xz", "zstd"])
def test_what_is_cut_short_is_no_system(pack: str, tree: Path, there: Goldsmith) -> None:
    data = proc.run([pack, "-c"], stdin=tarred(tree)).stdout
    (there.project / "cut").write_bytes(data[: len(data) // 2])
    message, hint = error(there("collect", "image:cut", expect=1))
    assert message.startswith("cut can't be unpacked: ")
    assert "fetch it again" in hint


def test_what_is_none_is_named(there: Goldsmith) -> None:
    folder = there.project
    for name, data in {
        "words": b"hello",
        "empty": b"",
        "x.zip": b"PK\x03\x04",
        "xfs": b"XFSB".ljust(9000, b"\0"),
    }.items():
        (folder / name).write_bytes(data)
    packed(folder / "photos.tar", {"a.jpg": b"", "b.jpg": b""})
    packed(folder / "two.ova", {"a.vmdk": b"", "b.vmdk": b""})
    packed(folder / "names.ova", {"a.ovf": b'<File ovf:href="/etc/shadow"/>', "a.vmdk": b"x" * 600})
    packed(folder / "sum.ova", {"a.mf": b"SHA256(a.vmdk)= " + b"0" * 64, "a.vmdk": b"x" * 600})
    (folder / "nothing").mkdir()
    for name, code, said in (
        ("none", 2, "there is no image none"),
        ("words", 2, "words is in no format that is known"),
        ("empty", 2, "empty is in no format that is known"),
        ("x.zip", 2, "x.zip is a zip archive"),
        ("xfs", 2, "xfs is an XFS file system"),
        ("photos.tar", 2, "holds no image, no disk and no system: 'a.jpg', 'b.jpg'"),
        ("nothing", 2, "holds no image, no disk and no system: it is empty"),
        ("two.ova", 2, "holds 2 disks: a.vmdk, b.vmdk"),
        ("names.ova", 2, "it names the file '/etc/shadow', which is not in it"),
        ("sum.ova", 1, "a.vmdk is damaged: it is not what its checksum says"),
    ):
        message, _hint = error(there("collect", f"image:{name}", expect=code))
        assert said in message


# Damage: an error, never a traceback, a hang or another content.


def test_a_file_system_that_is_damaged_is_an_error_or_the_same(tree: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    (small / "etc").mkdir(parents=True)
    shutil.copy(tree / "usr/lib/os-release", small / "etc/os-release")
    (small / "etc/link").symlink_to("y" * 200)
    for number in range(30):
        (small / f"file-{number}").write_bytes(b"x" * 1000 * number)
    path = file_system(small, tmp_path / "whole", "-b", "1024", "-N", "64", start=0, size=2**20)
    whole = path.read_bytes()
    used = [at for at in range(0, len(whole), 1024) if any(whole[at : at + 1024])]
    chance = random.Random(5)  # noqa: S311 - the same each time
    refused = 0
    for _ in range(1500):
        data = bytearray(whole)
        for _ in range(chance.choice((1, 1, 2, 20))):
            at = chance.choice(used[:40]) + chance.randrange(1024)
            data[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        stream = io.BytesIO(data)

        def read(offset: int, length: int, stream: io.BytesIO = stream) -> bytes:
            stream.seek(offset)
            return stream.read(length)

        before = time.process_time()
        try:
            ext4_tar.write(ext4.FileSystem(read), tmp_path / "out.tar")
        except GoldsmithError:
            refused += 1
        assert time.process_time() - before < 20
    assert refused > 100


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("link /opt /opt/many/loop", "is in two places"),
        ("set_inode_field /opt/random size 9000000000000", "claim to be more than 16 GiB larger"),
        ("set_inode_field /opt/many size 9000000000000", "claims to have 9000000000000 bytes"),
        ("set_inode_field /opt/random block[5] 0xfffffff0", "is beyond its end"),
        ("set_inode_field /opt/random mode 0", "is of no type"),
        ("set_inode_field /opt/many/file-00001 file_acl 99999999", "is beyond its end"),
        ("feature encrypt", "encryption, which is not read"),
    ],
)
def test_a_file_system_that_is_made_to_mislead(command: str, said: str, raw: Path, there: Goldsmith) -> None:
    path = there.project / "x.raw"
    shutil.copyfile(raw, path)
    proc.run(["debugfs", "-w", "-R", command, f"{path}?offset={START}"])
    with pytest.raises(GoldsmithError, match=said):
        collect.collect(collect.Target("disk", str(path)))


# Nothing is left.


def start(there: Goldsmith, target: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["goldsmith", "collect", target, "-o", "out.json"],
        cwd=there.project,
        env={**os.environ, **there.environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def until(what: Callable[[], bool], why: str) -> None:
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end, why
        time.sleep(0.005)


def servers(path: Path) -> list[str]:
    return [line for line in proc.run(["pgrep", "-af", "qemu-nbd"], check=False).text.splitlines() if str(path) in line]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory, tree: Path) -> Path:
    """A disk that takes a while."""
    folder = tmp_path_factory.mktemp("large")
    (folder / "root/etc").mkdir(parents=True)
    shutil.copy(tree / "usr/lib/os-release", folder / "root/etc/os-release")
    with (folder / "root/zeros").open("wb") as file:
        for _ in range(500):
            file.write(b"x" * 2**20)
    raw = file_system(folder / "root", folder / "large.raw", start=0, size=560 * 2**20)
    (folder / "root/zeros").unlink()
    proc.run(["qemu-img", "convert", "-c", "-O", "qcow2", str(raw), str(folder / "large.qcow2")])
    raw.unlink()
    return folder / "large.qcow2"


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_one_leaves_nothing(
    signum: signal.Signals, large: Path, there: Goldsmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = Path(there.environment["TMPDIR"])
    process = start(there, f"disk:{large}")
    until(lambda: any(temporary.glob("goldsmith-rest-*/root.tar")), "it did not begin")
    assert servers(large)
    process.send_signal(signum)
    assert process.wait(60) == (-signum if signum == signal.SIGKILL else 128 + signum)
    until(lambda: not servers(large), "qemu-nbd is left")
    if signum == signal.SIGKILL:
        assert left(temporary)
        monkeypatch.setattr(tempfile, "tempdir", str(temporary))
        assert len(files.remove_abandoned()) == 1  # as `goldsmith clean` does
    assert left(temporary) == []
    assert left(there.project) == []


def test_of_the_disk_nothing_is_changed_and_no_one_else_may_write_to_it(raw: Path, there: Goldsmith) -> None:
    path = there.project / "x.qcow2"
    proc.run(["qemu-img", "convert", "-O", "qcow2", str(raw), str(path)])
    path.chmod(0o444)
    before = path.read_bytes()
    digest_of(there, f"disk:{path}")
    assert path.read_bytes() == before
    with pytest.raises(UsageError, match="there is no disk"):
        collect.collect(collect.Target("disk", str(there.project)))
