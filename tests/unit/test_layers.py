"""Layers made one have the effect that they had one upon the other."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from goldsmith import layers, tree
from goldsmith.errors import GoldsmithError

Members = list[tuple[str, bytes | str | None]]
"""Name and content: bytes of a file, "-> target" of a link, "= target" of a hard link, None for a folder."""


def layer(members: Members, xattrs: dict[str, dict[str, str]] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.pax_headers = (xattrs or {}).get(name, {})
            if content is None:
                member.type, member.mode = tarfile.DIRTYPE, 0o755
            elif isinstance(content, str):
                how, _, member.linkname = content.partition(" ")
                member.type = tarfile.SYMTYPE if how == "->" else tarfile.LNKTYPE
            else:
                member.size = len(content)
            archive.addfile(member, io.BytesIO(content) if isinstance(content, bytes) else None)
    return buffer.getvalue()


def image(path: Path, *tars: bytes) -> Path:
    """An image archive as `docker save` writes it."""
    identities = [hashlib.sha256(data).hexdigest() for data in tars]
    steps = [{"created_by": f"step {number}"} for number in range(len(tars))]
    empty = [{"created_by": "CMD", "empty_layer": True}]
    config = {"rootfs": {"diff_ids": [f"sha256:{each}" for each in identities]}, "history": empty + steps}
    names = [f"{number}/layer.tar" for number in range(len(tars))]
    described = [{"Config": "config.json", "RepoTags": None, "Layers": names}]
    with tarfile.open(path, "w") as archive:
        for name, data in [
            *zip(names, tars, strict=True),
            ("config.json", json.dumps(config).encode()),
            ("manifest.json", json.dumps(described).encode()),
        ]:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def files(archive: Path) -> dict[str, tuple[str, bytes]]:
    with tree.of_docker_archive(archive) as system:
        return {path: (file.kind, file.read() if file.kind == "file" else b"") for path, file in system.files.items()}


BASE: Members = [("a", None), ("a/old", b"1"), ("a/deep", None), ("a/deep/x", b"x"), ("gone", b"g"), ("file", b"f")]
CASES: dict[str, list[Members]] = {
    "added": [[("b", b"1")], [("c", b"2")]],
    "replaced": [[("file", b"2")], [("file", b"3")]],
    "deleted in the base": [[(".wh.gone", b"")], [("b", b"")]],
    "deleted in the base, later": [[("b", b"")], [(".wh.gone", b"")]],
    "made and deleted": [[("b", None), ("b/x", b"1")], [(".wh.b", b"")]],
    "deleted and made again": [[(".wh.gone", b"")], [("gone", b"back")]],
    "a folder deleted and made again": [[(".wh.a", b"")], [("a", None), ("a/new", b"n")]],
    "a folder that became a file": [[("a", b"file")], [("b", b"")]],
    "a folder that became a file, and a folder again": [[("a", b"file")], [("a", None), ("a/n", b"")]],
    "a folder of a stage that became a file": [[("b", None), ("b/x", b"1")], [("b", b"file")]],
    "a file that became a folder": [[("b", b"")], [("file", None), ("file/x", b"1")]],
    "an opaque folder": [[("a", None), ("a/.wh..wh..opq", b""), ("a/n", b"1")], [("a", None), ("a/m", b"2")]],
    "an opaque folder, later": [[("a", None), ("a/n", b"1")], [("a", None), ("a/.wh..wh..opq", b""), ("a/m", b"2")]],
    "within a folder": [[("a", None), ("a/.wh.old", b"")], [("a", None), ("a/n", b"1")]],
    "names alike": [[("ab", None), ("ab/x", b"1"), ("a", None), ("a/y", b"")], [(".wh.a", b"")]],
    "a link": [[("l", "-> file")], [("l", "-> gone")]],
    "hard links": [[("h1", b"h"), ("h2", "= h1")], [("b", b"")]],
    "a hard link whose file is deleted": [[("h1", b"h"), ("h2", "= h1"), ("h3", "= h1")], [(".wh.h1", b"")]],
    "a hard link whose file is replaced": [[("h1", b"h"), ("h2", "= h1")], [("h1", b"other")]],
    "dots before names": [[("./b", b"1"), ("./h", "= ./b")], [("./.wh.gone", b"")]],
}


def squashed(before: Path) -> Path:
    """The archive of the image after it, alone."""
    merged = before.with_name("merged.tar")
    layers.squash(before, merged, 1, "goldsmith/x:y")
    layers.lengthen(before, merged)
    after = before.with_name("after.tar")
    layers.alone(before, after)
    return after


@pytest.mark.parametrize("case", CASES)
def test_it_has_the_same_files(tmp_path: Path, case: str) -> None:
    before = image(tmp_path / "before.tar", layer(BASE), *map(layer, CASES[case]))
    wanted = files(before)
    after = squashed(before)
    assert files(after) == files(before) == wanted


def test_what_was_deleted_is_nowhere_in_it(tmp_path: Path) -> None:
    before = image(tmp_path / "before.tar", layer(BASE), layer([("key", b"secret")]), layer([(".wh.key", b"")]))
    assert b"secret" not in squashed(before).read_bytes()


def test_the_base_stays_and_the_description_fits(tmp_path: Path) -> None:
    base = layer(BASE)
    before = image(tmp_path / "before.tar", base, layer([("b", b"1")]), layer([("c", b"2")]))
    with tarfile.open(squashed(before)) as archive:
        [described] = json.load(archive.extractfile("manifest.json"))
        config_text = archive.extractfile(described["Config"]).read()  # type: ignore[union-attr]
        contents = [archive.extractfile(name).read() for name in described["Layers"]]  # type: ignore[union-attr]
    config = json.loads(config_text)
    assert described["RepoTags"] == ["goldsmith/x:y"]
    assert described["Config"] == f"{hashlib.sha256(config_text).hexdigest()}.json"
    assert contents[0] == base
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(data).hexdigest()}" for data in contents]
    assert [step["created_by"] for step in config["history"]] == ["CMD", "step 0", "step 2"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["after.tar", "before.tar", "merged.tar"]


def test_what_docker_has_is_not_given_to_it_again(tmp_path: Path) -> None:
    before = image(tmp_path / "before.tar", layer(BASE), layer([("b", b"1")]), layer([("c", b"2")]))
    digest = layers.squash(before, tmp_path / "merged.tar", 1, "goldsmith/x:y")
    with tarfile.open(tmp_path / "merged.tar") as archive:
        [described] = json.load(archive.extractfile("manifest.json"))
        there = [name for name in described["Layers"] if name in archive.getnames()]
        assert there == described["Layers"][1:]
        data = archive.extractfile(there[0]).read()  # type: ignore[union-attr]
    assert digest == f"sha256:{hashlib.sha256(data).hexdigest()}"


def test_capabilities_and_odd_names_stay(tmp_path: Path) -> None:
    capability = {"SCHILY.xattr.security.capability": b"\x01\x00\x00\x02\x00\x20\xff".decode(errors="surrogateescape")}
    odd = b"na\xffme\n".decode(errors="surrogateescape")
    tar = layer([("ping", b"p"), (odd, b"o")], {"ping": capability})
    before = image(tmp_path / "before.tar", layer(BASE), tar, layer([("b", b"")]))
    with tarfile.open(squashed(before)) as archive:
        [described] = json.load(archive.extractfile("manifest.json"))
        with tarfile.open(fileobj=archive.extractfile(described["Layers"][1])) as merged:
            assert merged.getmember("ping").pax_headers.items() >= capability.items()
            assert odd in merged.getnames()


def test_what_is_no_image_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"no archive")
    with pytest.raises(GoldsmithError, match="can't be merged"):
        layers.squash(tmp_path / "x.tar", tmp_path / "after.tar", 1, "goldsmith/x:y")
