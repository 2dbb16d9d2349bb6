"""An archive put together from Docker's own folders is what `docker save` gives, or there is none."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.goldsmith.core.plugins.module_utils.collector import archive as collector

from goldsmith import collect, docker, hygiene, layer_store, proc, tree

LARGE = 3 * 2**20 + 5
FILES = {"etc/os-release": b"ID=debian\n", "etc/empty": b"", "large": bytes(LARGE), "caf\udce9": b"no UTF-8"}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def layer(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        folder = tarfile.TarInfo("etc")
        folder.type = tarfile.DIRTYPE
        link = tarfile.TarInfo("etc/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/dev/zero"
        for member in (folder, link):
            archive.addfile(member)
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.pax_headers = len(content), {"SCHILY.xattr.security.capability": "x"}
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def kept(folder: Path, data: bytes) -> list[dict[str, Any]]:
    """Lays the files of a layer down in a folder, and gives what else it is made of, as tar-split does."""
    parts: list[dict[str, Any]] = []
    at = 0
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            path = folder / member.name
            path.parent.mkdir(parents=True, exist_ok=True)
            parts.append({"type": 2, "payload": base64.b64encode(data[at : member.offset_data]).decode()})
            at = member.offset_data
            name = os.fsencode(member.name)
            said = {"name": member.name} if name.isascii() else {"name_raw": base64.b64encode(name).decode()}
            if member.isreg():
                path.write_bytes(data[at : at + member.size])
                at += member.size
                parts.append({"type": 1, **said, "size": member.size, "payload": "CRC"})
            else:
                parts.append({"type": 1, **said, "payload": None})
    return [*parts, {"type": 2, "payload": base64.b64encode(data[at:]).decode()}]


def image(root: Path, *layers: bytes) -> dict[str, Any]:
    """An image in Docker's folder, and what Docker says of it."""
    digests = [f"sha256:{sha256(data)}" for data in layers]
    chain, upper = "", ""
    for digest, data in zip(digests, layers, strict=True):
        chain = f"sha256:{sha256(f'{chain} {digest}'.encode())}" if chain else digest
        known = root / "image/overlay2/layerdb/sha256" / chain.partition(":")[2]
        upper = str(root / "overlay2" / f"cache{len(chain + upper)}{digest[-5:]}" / "diff")
        known.mkdir(parents=True, exist_ok=True)
        (known / "cache-id").write_text(Path(upper).parent.name)
        with gzip.open(known / "tar-split.json.gz", "wt") as out:
            out.writelines(json.dumps(part) + "\n" for part in kept(Path(upper), data))
    config = json.dumps({"rootfs": {"diff_ids": digests}, "config": {"Env": ["A=1"]}}).encode()
    images = root / "image/overlay2/imagedb/content/sha256"
    images.mkdir(parents=True, exist_ok=True)
    (images / sha256(config)).write_bytes(config)
    return {
        "Id": f"sha256:{sha256(config)}",
        "RootFS": {"Layers": digests},
        "GraphDriver": {"Name": "overlay2", "Data": {"UpperDir": upper}},
    }


def test_archive_has_the_layers_byte_for_byte(tmp_path: Path) -> None:
    lower, upper = layer(FILES), layer({"new": b"1"})
    archive = layer_store.Archive(tmp_path / "image.tar")
    assert archive.finish(image(tmp_path, lower, upper))
    with tarfile.open(archive.path) as found:
        [described] = json.load(tree.content_of(found, "manifest.json"))
        assert [tree.content_of(found, name).read() for name in described["Layers"]] == [lower, upper]
    with tree.of_docker_archive(archive.path) as system:
        assert system.files["/large"].read() == bytes(LARGE)
        assert {"/new", "/caf\udce9", "/etc/link"} <= system.files.keys()
        assert system.settings == {"env:A": "1"}


def test_layers_below_may_be_there_before_the_image_is(tmp_path: Path) -> None:
    lower, upper = layer(FILES), layer({"new": b"1"})
    below = image(tmp_path, lower)
    archive = layer_store.Archive(tmp_path / "image.tar")
    assert archive.add_layers(below)
    with tree.lower_layers(archive.path) as known:
        above = image(tmp_path, lower, upper)
        for path in (tmp_path / "overlay2").glob("*/diff/large"):
            path.unlink()  # of the lower layer, which is not read again
        assert archive.finish(above)
        for already in (None, known):
            with tree.of_docker_archive(archive.path, already) as system:
                assert system.files["/large"].read() == bytes(LARGE)
                assert system.files["/new"].read() == b"1"
                assert len(system.files) == len(FILES) + 3  # folder, link and what is new
        [(name, _)] = known.items()
    with tree.of_docker_archive(archive.path, {name: []}) as system:
        assert "/large" not in system.files  # what is known is not looked through


KEY = b"-----BEGIN PRIVATE KEY-----\n" + b"MIIEvQIBADANBgkqhkiG9w0BAQEFAASC" * 3


def test_hygiene_of_layers_below_may_be_looked_at_before(tmp_path: Path) -> None:
    lower, upper = layer({**FILES, "srv/a": KEY, "srv/b": KEY, "srv/c": b""}), layer({"srv/b": b"1", "srv/d": KEY})
    archive = layer_store.Archive(tmp_path / "image.tar")
    assert archive.add_layers(image(tmp_path, lower))
    with tree.lower_layers(archive.path) as known:
        searched = hygiene.search(file for each in known.values() for _, file in each)
        assert {file.path for file, secret in searched.items() if secret} == {"/srv/a", "/srv/b"}
        assert archive.finish(image(tmp_path, lower, upper))
        with tree.of_docker_archive(archive.path) as system:
            expected = hygiene.judge(system).offences
        with tree.of_docker_archive(archive.path, known) as system:
            assert hygiene.judge(system, (), searched).offences == expected
            assert {each.path for each in expected} == {"/srv/a", "/srv/b", "/srv/d"}
            nothing = hygiene.judge(system, (), dict.fromkeys(searched, "")).offences
            assert {each.path for each in nothing} == {"/srv/d"}  # what was searched is not looked into again


def test_a_manifest_may_be_begun_before_the_image_is_there(tmp_path: Path) -> None:
    lower = layer({**FILES, "usr/a.pyc": bytes(range(32)), "gone": b"1"})
    upper = layer({".wh.gone": b"", "new": b"1", "usr/a.pyc": bytes(range(32, 64))})
    archive = layer_store.Archive(tmp_path / "image.tar")
    assert archive.add_layers(image(tmp_path, lower))
    with collect.of_growing(archive, "x") as whole:
        assert archive.finish(image(tmp_path, lower, upper))
        found = whole()
    assert found.document() == collect.of_archive(archive.path, "x").document()
    assert ("/gone" in found.sections["files"], "/new" in found.sections["files"]) == (False, True)


def test_what_a_manifest_has_been_begun_with_is_not_read_again(tmp_path: Path) -> None:
    lower = layer({**FILES, "etc/a": b"before"})
    archive = layer_store.Archive(tmp_path / "image.tar")
    assert archive.add_layers(image(tmp_path, lower))
    at = archive.path.read_bytes().index(b"before")

    def finish() -> None:
        with archive.path.open("r+b") as stream:
            stream.seek(at)
            stream.write(b"after!")
        assert archive.finish(image(tmp_path, lower, layer({"new": b"1"})))

    with collector.DockerArchive(str(archive.path), archive.size, finish) as system:
        assert system.entries["/etc/a"].sha256 == hashlib.sha256(b"before").digest()
        assert "/new" in system.entries


def test_a_collector_that_nobody_tells_anything_ends(tmp_path: Path) -> None:
    archive = layer_store.Archive(tmp_path / "image.tar")
    assert archive.add_layers(image(tmp_path, layer(FILES)))
    with collect.of_growing(archive, "x"):
        pass  # it is ended
    argv = collect.collector_argv("python3", "--docker-archive", str(archive.path), "--growing", str(archive.size))
    done = proc.run(argv, stdin=collect.sent(), check=False)
    assert (done.code, done.error) == (1, "collector: nobody said that the archive is whole")


def test_layers_of_another_image_are_not_taken(tmp_path: Path) -> None:
    archive = layer_store.Archive(tmp_path / "image.tar")
    assert archive.add_layers(image(tmp_path, layer(FILES)))
    assert not archive.finish(image(tmp_path, layer({"another": b""}), layer({"new": b"1"})))


def _other_content(root: Path) -> None:
    [path] = root.glob("overlay2/*/diff/etc/os-release")
    path.write_bytes(b"ID=dEbian\n")


def _longer(root: Path) -> None:
    [path] = root.glob("overlay2/*/diff/etc/os-release")
    path.write_bytes(b"ID=debian\n\n")


def _missing(root: Path) -> None:
    [path] = root.glob("overlay2/*/diff/large")
    path.unlink()


def _fifo(root: Path) -> None:
    _missing(root)
    [folder] = root.glob("overlay2/*/diff")
    os.mkfifo(folder / "large")


def _endless(root: Path) -> None:
    _missing(root)
    [folder] = root.glob("overlay2/*/diff")
    (folder / "large").symlink_to("/dev/zero")


def _cut_short(root: Path) -> None:
    [path] = root.glob("image/overlay2/layerdb/sha256/*/tar-split.json.gz")
    path.write_bytes(path.read_bytes()[:-20])


def _other_parts(root: Path) -> None:
    [path] = root.glob("image/overlay2/layerdb/sha256/*/tar-split.json.gz")
    path.write_bytes(gzip.compress(b'{"type":2}\n'))


def _other_config(root: Path) -> None:
    [path] = root.glob("image/overlay2/imagedb/content/sha256/*")
    path.write_bytes(path.read_bytes() + b" ")


@pytest.mark.parametrize(
    "damage", [_other_content, _longer, _missing, _fifo, _endless, _cut_short, _other_parts, _other_config]
)
def test_what_is_not_what_its_digest_says_is_refused(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    made = image(tmp_path, layer(FILES))
    damage(tmp_path)
    assert not layer_store.Archive(tmp_path / "image.tar").finish(made)


def test_a_layer_that_could_not_be_read_leaves_nothing(tmp_path: Path) -> None:
    archive = layer_store.Archive(tmp_path / "image.tar")
    assert archive.add_layers(image(tmp_path, layer(FILES)))
    made = image(tmp_path, layer(FILES), layer({"new": bytes(LARGE), "newer": b"1"}))
    [path] = tmp_path.glob("overlay2/*/diff/newer")
    path.rename(tmp_path / "away")
    assert not archive.add_layers(made)
    (tmp_path / "away").rename(path)
    assert archive.finish(made)
    with tree.of_docker_archive(archive.path) as system:
        assert system.files["/large"].read() == bytes(LARGE)
        assert system.files["/newer"].read() == b"1"


@pytest.mark.parametrize(
    "driver",
    [None, {}, {"Name": "btrfs", "Data": None}, {"Name": "overlay2", "Data": {"UpperDir": "/nowhere/overlay2/x/diff"}}],
)
def test_docker_that_keeps_its_images_otherwise(tmp_path: Path, driver: dict[str, Any] | None) -> None:
    made = image(tmp_path, layer(FILES))
    assert not layer_store.Archive(tmp_path / "image.tar").finish({**made, "GraphDriver": driver})


def test_what_docker_writes_has_nothing_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has begun to read the archive sees that he must read another."""
    archive = layer_store.Archive(tmp_path / "image.tar")
    made = image(tmp_path, layer(FILES))
    assert archive.add_layers(made)
    monkeypatch.setattr(proc, "run", lambda argv: Path(argv[argv.index("--output") + 1]).write_bytes(b"Docker's"))
    docker.save({**made, "Id": "sha256:unknown"}, archive)
    assert (archive.path.read_bytes(), archive.size) == (b"Docker's", 0)
