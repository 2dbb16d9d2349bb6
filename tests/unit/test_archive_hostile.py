"""Archives that are made to mislead: neither reader hangs, fills the disk, or takes one thing for another."""

from __future__ import annotations

import gzip
import io
import os
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.goldsmith.core.plugins.module_utils.collector import archive, files, members

from goldsmith import archives, tree
from goldsmith.errors import GoldsmithError
from tests.unit.test_collector_tree import DIR, info, layer, saved, sha

ETC = (info("etc", DIR), b"")
Write = Callable[[bytes], Path]


def collected(path: Path) -> dict[str, Any]:
    with archive.RootArchive(path) as source:
        return files.collect(source)  # type: ignore[no-any-return]


def looked_at(path: Path) -> dict[str, tuple[str, bytes]]:
    with tree.of_tar(path) as found:
        return {name: (file.kind, file.read()) for name, file in found.files.items()}


@pytest.fixture
def root(tmp_path: Path) -> Write:
    def write(data: bytes) -> Path:
        (tmp_path / "root.tar").write_bytes(data)
        return tmp_path / "root.tar"

    return write


def refused(path: Path, match: str) -> None:
    """By both readers: with one line, and soon."""
    with pytest.raises(archive.ArchiveError, match=match):
        collected(path)
    with pytest.raises(GoldsmithError, match=match):
        looked_at(path)


def header(name: str, **more: Any) -> bytes:
    return info(name, **more).tobuf(tarfile.PAX_FORMAT)


END = bytes(1024)


def test_of_two_members_of_one_name_the_last_counts(root: Write) -> None:
    path = root(layer(ETC, (info("etc/a"), b"first"), (info("etc/a", mode=0o600), b"last")))
    assert collected(path)["/etc/a"]["sha256"] == sha(b"last")
    assert collected(path)["/etc/a"]["mode"] == "0600"
    assert looked_at(path)["/etc/a"] == ("file", b"last")
    # What anybody can read in the archive's bytes is looked at, too.
    with tree.of_tar(path) as found:
        assert [(file.path, file.read()) for file in found.hidden] == [("/etc/a", b"first")]


def test_a_hard_link_is_what_its_target_was_at_that_moment(root: Write) -> None:
    link = info("etc/b", tarfile.LNKTYPE, linkname="etc/a")
    path = root(layer(ETC, (info("etc/a"), b"first"), (link, b""), (info("etc/a"), b"last")))
    found = collected(path)
    assert (found["/etc/a"]["sha256"], found["/etc/b"]["sha256"]) == (sha(b"last"), sha(b"first"))
    assert looked_at(path)["/etc/b"] == ("file", b"first")


def test_a_hard_link_to_passwords_does_not_give_them_a_digest(root: Write) -> None:
    link = info("etc/b", tarfile.LNKTYPE, linkname="etc/shadow")
    found = collected(root(layer(ETC, (info("etc/shadow"), b"root:hash:"), (link, b""))))
    assert "sha256" not in found["/etc/shadow"]
    assert "size" not in found["/etc/shadow"]


@pytest.mark.parametrize("target", ["etc/later", "none", "../../etc/none", "etc"])
def test_a_hard_link_that_leads_nowhere_is_an_error(root: Write, target: str) -> None:
    link = info("etc/b", tarfile.LNKTYPE, linkname=target)
    path = root(layer(ETC, (link, b""), (info("etc/later"), b"x")))
    with pytest.raises(archive.ArchiveError, match="leads nowhere"):
        collected(path)
    if target != "etc":
        with pytest.raises(GoldsmithError, match="leads nowhere"):
            looked_at(path)


def test_what_lies_below_something_that_is_no_folder_is_an_error(root: Write) -> None:
    link = info("opt", tarfile.SYMTYPE, linkname="/etc")
    with pytest.raises(archive.ArchiveError, match="/opt/deep/passwd lies below /opt, which is no folder"):
        collected(root(layer(ETC, (link, b""), (info("opt/deep/passwd"), b"x"))))
    with pytest.raises(archive.ArchiveError, match="root is no folder"):
        collected(root(layer((info("/"), b"x"))))


def test_names_that_lead_out_stay_in(root: Write) -> None:
    path = root(layer(ETC, (info("../../../x"), b"1"), (info("/etc/../../y"), b"2"), (info("etc/./z"), b"3")))
    assert {"/x", "/y", "/etc/z"} <= set(collected(path))
    assert {"/x", "/y", "/etc/z"} <= set(looked_at(path))


def test_odd_names_are_told_apart(root: Write) -> None:
    names = ["etc/new\nline", "etc/\udcff\udcfe", "etc/\udcff", 'etc/"quoted"', "etc/" + "long/" * 60 + "x"]
    path = root(layer(ETC, *((info(name), name.encode("utf-8", "surrogateescape")) for name in names)))
    found = collected(path)
    assert sum(each["type"] == "file" for each in found.values()) == len(names)
    assert len({each["sha256"] for each in found.values() if each["type"] == "file"}) == len(names)
    assert {f"/{name}" for name in names} <= set(looked_at(path))


@pytest.mark.parametrize("size", [-1, -512, -1536, -10240])
@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_size_below_nothing_does_not_lead_in_circles(root: Write, size: int, form: int) -> None:
    member = info("etc/b")
    if form == tarfile.PAX_FORMAT:
        member.pax_headers = {"size": str(size)}
        data = member.tobuf(form)
    else:
        raw = bytearray(member.tobuf(form))
        raw[124:136] = (size & (2**96 - 1)).to_bytes(12)
        raw[148:156] = b"        "
        raw[148:156] = b"%06o\0 " % sum(raw[:512])
        data = bytes(raw)
    before = layer(ETC, (info("etc/a"), b"x" * 2000))[: 2 * 512 + 2048]
    refused(root(before + data + END), "a member claims to have -")


@pytest.mark.parametrize("size", [2**40, 2**62])
def test_a_size_that_is_not_there_is_an_error(root: Write, size: int) -> None:
    refused(
        root(header("etc", kind=DIR) + header("etc/a", size=size) + END), "unexpected end|cut short|Invalid argument"
    )


def test_a_header_that_claims_to_be_huge_is_not_read(root: Write) -> None:
    for kind in (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME):
        path = root(info("x", kind, size=2**33).tobuf(tarfile.GNU_FORMAT) + bytes(2**20))
        refused(path, "claims to have 8589934592 bytes")


def test_headers_without_end_are_an_error(root: Write) -> None:
    long = info("x", tarfile.GNUTYPE_LONGNAME, size=2).tobuf(tarfile.GNU_FORMAT) + b"y\0".ljust(512, b"\0")
    refused(root(long * 5000), "not a whole tar archive|not a tar archive")


def test_a_broken_header_is_not_taken_for_the_end(root: Write) -> None:
    """tarfile would: everything behind it would be missed without a word."""
    whole = layer(ETC, (info("etc/a"), b"x"), (info("etc/b"), b"x"))
    broken = bytearray(whole)
    broken[whole.index(b"etc/b")] ^= 1
    refused(root(bytes(broken)), "broken at byte")


@pytest.mark.parametrize("keep", [512, 1536, 2560])
def test_what_ends_between_two_members_is_cut_short(root: Write, keep: int) -> None:
    whole = layer(ETC, (info("etc/a"), b"x"), (info("etc/b"), b"x"))
    refused(root(whole[:keep]), "it has no end")


def test_a_type_that_is_not_known_is_an_error(root: Write) -> None:
    path = root(layer(ETC, (info("etc/a", b"M"), b"x")))
    with pytest.raises(archive.ArchiveError, match="/etc/a is of no type that is known"):
        collected(path)


def test_a_longer_name_than_any_path_is_an_error(root: Write) -> None:
    with pytest.raises(archive.ArchiveError, match="name of 5003 characters"):
        collected(root(layer(ETC, (info("a/b" + "c" * 5000), b""))))


# Sparse files.


def sparse(name: str, size: int, *parts: tuple[int, bytes]) -> bytes:
    """As GNU tar writes one (format 1.0)."""
    numbers = [len(parts), *(number for at, data in parts for number in (at, len(data)))]
    plan = "".join(f"{number}\n" for number in numbers).encode()
    content = plan + bytes(-len(plan) % 512) + b"".join(data for _, data in parts)
    member = info(name, size=len(content))
    member.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(size)}
    return member.tobuf(tarfile.PAX_FORMAT) + content + bytes(-len(content) % 512)


def test_a_sparse_file_is_what_it_stands_for(root: Write) -> None:
    plain = bytes(100_000) + b"middle" + bytes(3_000_000)
    path = root(header("etc", kind=DIR) + sparse("etc/a", len(plain), (100_000, b"middle")) + END)
    assert collected(path)["/etc/a"] == collected(root(layer(ETC, (info("etc/a"), plain))))["/etc/a"]
    path = root(header("etc", kind=DIR) + sparse("etc/a", len(plain), (100_000, b"middle")) + END)
    assert looked_at(path)["/etc/a"] == ("file", plain)


def test_sparse_files_may_not_be_made_of_nothing_without_end(root: Write) -> None:
    path = root(header("etc", kind=DIR) + sparse("etc/a", 2**60, (0, b"x")) + END)
    with pytest.raises(archive.ArchiveError, match="claim to be more than 16 GiB larger"):
        collected(path)


@pytest.mark.parametrize("parts", [((500, b"x"), (100, b"y")), ((999, b"xx"),), ((0, b"xx"), (1, b"y"))])
def test_a_sparse_file_with_a_broken_map_is_an_error(root: Write, parts: tuple[tuple[int, bytes], ...]) -> None:
    path = root(header("etc", kind=DIR) + sparse("etc/a", 1000, *parts) + END)
    with pytest.raises(archive.ArchiveError, match="the map of /etc/a is broken"):
        collected(path)


# Attributes.


def test_attributes_in_both_forms_that_programs_write(root: Write) -> None:
    ours = info("etc/a", pax_headers={"SCHILY.xattr.user.a%3Db%25": "x"})
    theirs = info("etc/b", pax_headers={"LIBARCHIVE.xattr.user.a=b%25": "eA"})
    found = collected(root(layer(ETC, (ours, b""))))
    # In a header a name ends at its first =, so bsdtar escapes it as well.
    theirs.pax_headers = {"LIBARCHIVE.xattr.user.a%3Db%25": "eA"}
    assert found["/etc/a"]["xattrs"] == collected(root(layer(ETC, (theirs, b""))))["/etc/b"]["xattrs"]
    assert list(found["/etc/a"]["xattrs"]) == ["user.a=b%"]


def test_access_lists_as_text_are_said_to_be_unread(root: Write) -> None:
    path = root(layer(ETC, (info("etc/a", pax_headers={"SCHILY.acl.access": "user::rw-"}), b"")))
    with archive.RootArchive(path) as source:
        assert source.warnings == ["access lists of 1 paths are in a form that is not read"]


# Whiteouts.


@pytest.mark.parametrize(
    "name", [".wh.nothing", "etc/.wh.nothing", "none/.wh..wh..opq", ".wh.", ".wh...", ".wh..wh.plnk"]
)
def test_a_whiteout_of_what_is_not_there_takes_nothing_away(tmp_path: Path, name: str) -> None:
    lower = layer(ETC, (info("etc/a"), b"x"))
    upper = layer((info("etc/b"), b"y"), (info(name), b""))
    with archive.DockerArchive(saved(tmp_path / "x.tar", lower, upper)) as source:
        assert set(source.entries) - {"/none"} == {"/", "/etc", "/etc/a", "/etc/b"}


def test_in_a_root_file_system_a_whiteout_is_a_file_like_any_other(root: Write) -> None:
    path = root(layer(ETC, (info("etc/a"), b"x"), (info("etc/.wh.a"), b"")))
    assert {"/etc/a", "/etc/.wh.a"} <= set(collected(path))
    assert {"/etc/a", "/etc/.wh.a"} <= set(looked_at(path))


def test_a_file_in_a_folder_that_a_lower_layer_has_as_a_link(tmp_path: Path) -> None:
    """The engine lays layers over each other as folders: a link is replaced by the folder."""
    lower = layer((info("usr", DIR), b""), (info("lib", tarfile.SYMTYPE, linkname="usr"), b""))
    with archive.DockerArchive(saved(tmp_path / "x.tar", lower, layer((info("lib/x"), b"x")))) as source:
        assert source.entries["/lib"].type == "directory"
        assert source.entries["/lib/x"].type == "file"


def test_many_whiteouts_take_one_pass(tmp_path: Path) -> None:
    """One pass for each would take minutes."""
    count = 20_000
    lower = layer(*((info(f"d{number}"), b"") for number in range(count)))
    upper = layer(*((info(f".wh.d{number}"), b"") for number in range(count)))
    with archive.DockerArchive(saved(tmp_path / "x.tar", lower, upper)) as source:
        assert set(source.entries) == {"/"}


# Compressed.


def bomb(size: int) -> bytes:
    """Zeros, packed a thousand times smaller; quickly made of one piece that is repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    once = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    blocks = size // 2**20
    body = once + again * (blocks - 1) + b"\x03\0"
    return b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + body + struct.pack("<II", 0, size % 2**32)


def test_a_bomb_is_left_before_it_fills_the_disk(root: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_ALWAYS", 2**24)
    monkeypatch.setattr(archives, "ALWAYS", 2**24)
    path = root(bomb(2**30))
    assert path.stat().st_size * archives.RATIO < 2**30
    refused(path, "unpacks to more than")


def test_the_limits_are_the_same_on_both_sides() -> None:
    ours = (archives.ALWAYS, archives.RATIO, archives.MOST, archives.HEADER)
    assert ours == (archive._ALWAYS, archive._RATIO, archive._MOST, members.HEADER)
    assert archives.limit(10) == 2**30
    assert archives.limit(2**30) == 64 * 2**30


@pytest.mark.parametrize("keep", [0.2, 0.9])
def test_a_packed_archive_that_is_damaged_is_an_error(root: Write, keep: float) -> None:
    packed = gzip.compress(layer(ETC, (info("etc/a"), os.urandom(20_000))))
    refused(root(packed[: int(len(packed) * keep)]), "not a")
    broken = bytearray(packed)
    broken[5000] ^= 0xFF
    refused(root(bytes(broken)), "not a")


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "{}", "[]", "[1]", '[{"Layers": 5}]', '[{"Layers": ["none"]}]', "\xff"]
)
def test_a_description_that_is_none_is_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as out:
        member = info("manifest.json", size=len(text.encode("latin-1")))
        out.addfile(member, io.BytesIO(text.encode("latin-1")))
    with pytest.raises(archive.ArchiveError):
        archive.DockerArchive(path)
    with pytest.raises(GoldsmithError), tree.of_docker_archive(path):
        pass
