"""Images in OCI layouts and `docker save` archives: every digest that they name is checked."""

from __future__ import annotations

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

from goldsmith import at_rest, oci, tree
from goldsmith.errors import GoldsmithError, UsageError
from tests.unit.test_collector_tree import DIR, info, layer

LOWER = layer((info("etc", DIR), b""), (info("etc/a"), b"lower"), (info("etc/gone"), b"x"))
UPPER = layer((info("etc/a"), b"upper"), (info("etc/.wh.gone"), b""))
Files = dict[str, bytes]
Change = Callable[[Files], object]


def named(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def described(data: bytes, **more: Any) -> dict[str, Any]:
    return {"digest": named(data), "size": len(data), **more}


def layout(*plain: bytes, pack: Callable[[bytes], bytes] = gzip.compress) -> Files:
    """The files of an OCI layout."""
    config = json.dumps({"rootfs": {"diff_ids": [named(each) for each in plain]}, "config": {"Env": ["A=b"]}}).encode()
    layers = [pack(each) for each in plain]
    manifest = json.dumps(
        {"schemaVersion": 2, "config": described(config), "layers": [described(each) for each in layers]}
    ).encode()
    index = {"schemaVersion": 2, "manifests": [described(manifest, platform={"os": "linux", "architecture": "amd64"})]}
    found = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}', "index.json": json.dumps(index).encode()}
    for blob in (config, manifest, *layers):
        found[f"blobs/{named(blob).replace(':', '/')}"] = blob
    return found


def saved(*plain: bytes) -> Files:
    """What `docker save` writes today."""
    config = json.dumps({"rootfs": {"diff_ids": [named(each) for each in plain]}, "config": {"Env": ["A=b"]}}).encode()
    names = [f"blobs/{named(each).replace(':', '/')}" for each in plain]
    name = f"blobs/{named(config).replace(':', '/')}"
    found = dict(zip(names, plain, strict=True)) | {name: config}
    found["manifest.json"] = json.dumps([{"Config": name, "RepoTags": ["a:1"], "Layers": names}]).encode()
    return found


def packed(path: Path, files: Files) -> Path:
    with tarfile.open(path, "w") as out:
        for name, data in files.items():
            out.addfile(info(name, size=len(data)), io.BytesIO(data))
    return path


def laid(path: Path, files: Files) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def read(path: Path) -> dict[str, bytes]:
    """The files of the image, and its settings."""
    with at_rest.opened("image", str(path)) as system:
        assert system.form == "docker-archive"
        with tree.of_docker_archive(system.path) as found:
            assert found.settings["env:A"] == "b"
            return {name: file.read() for name, file in found.files.items() if file.kind == "file"}


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("write", [packed, laid])
def test_an_oci_layout_in_an_archive_and_in_a_folder(tmp_path: Path, write: Any, pack: Any) -> None:
    assert read(write(tmp_path / "image", layout(LOWER, UPPER, pack=pack))) == {"/etc/a": b"upper"}


def test_what_docker_saves(tmp_path: Path) -> None:
    assert read(packed(tmp_path / "image.tar", saved(LOWER, UPPER))) == {"/etc/a": b"upper"}
    (tmp_path / "image.tar.gz").write_bytes(gzip.compress((tmp_path / "image.tar").read_bytes()))
    assert read(tmp_path / "image.tar.gz") == {"/etc/a": b"upper"}


def test_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    read(packed(tmp_path / "image.tar", layout(LOWER)))
    files = layout(LOWER)
    files[next(name for name in files if name.startswith("blobs/"))] += b"x"
    with pytest.raises(GoldsmithError):
        read(packed(tmp_path / "image.tar", files))
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data[:-1] + bytes([data[-1] ^ 1])])
def test_a_blob_that_is_not_what_its_digest_says(tmp_path: Path, number: int, change: Any) -> None:
    files = layout(LOWER, UPPER)
    name = sorted(each for each in files if each.startswith("blobs/"))[number]
    files[name] = change(files[name])
    with pytest.raises(GoldsmithError, match="is damaged: it is not what its digest says"):
        read(packed(tmp_path / "image.tar", files))


def test_a_blob_that_is_not_there(tmp_path: Path) -> None:
    for write in (packed, laid):
        files = layout(LOWER)
        del files[sorted(each for each in files if each.startswith("blobs/"))[0]]
        with pytest.raises(GoldsmithError, match=r"there is no file blobs/|blobs/.* can't be read: No such file"):
            read(write(tmp_path / write.__name__, files))


def test_layers_that_are_not_the_configurations(tmp_path: Path) -> None:
    """Each blob is whole, but another layer than what the configuration names is in its place."""
    files, other = layout(LOWER), layout(UPPER)
    manifest = json.loads(files[f"blobs/{_manifest(files).replace(':', '/')}"])
    manifest["layers"] = json.loads(other[f"blobs/{_manifest(other).replace(':', '/')}"])["layers"]
    files |= other | {"index.json": b""}
    _enter(files, manifest)
    with pytest.raises(GoldsmithError, match="is not the layer that the image's configuration names"):
        read(packed(tmp_path / "image.tar", files))
    manifest["layers"] = []
    _enter(files, manifest)
    with pytest.raises(GoldsmithError, match="its configuration knows 1 layers, its manifest 0"):
        read(packed(tmp_path / "image.tar", files))


def _manifest(files: Files) -> str:
    return str(json.loads(files["index.json"])["manifests"][0]["digest"])


def _enter(files: Files, manifest: dict[str, Any], **more: Any) -> None:
    data = json.dumps(manifest).encode()
    files[f"blobs/{named(data).replace(':', '/')}"] = data
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [described(data, **more)]}).encode()


def test_a_saved_layer_that_is_damaged(tmp_path: Path) -> None:
    files = saved(LOWER, UPPER)
    first = next(iter(files))
    files[first] = files[first].replace(b"lower", b"Lower")
    with pytest.raises(GoldsmithError, match="is damaged: it is not what its digest says"):
        read(packed(tmp_path / "image.tar", files))
    # Older ones have names without digests; the configuration knows the layer all the same.
    old = json.loads(files["manifest.json"])
    files["1/layer.tar"] = files.pop(first)
    old[0]["Layers"][0] = "1/layer.tar"
    files["manifest.json"] = json.dumps(old).encode()
    with pytest.raises(GoldsmithError, match="is not the layer that the image's configuration names"):
        read(packed(tmp_path / "image.tar", files))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda files: files.update({"oci-layout": b'{"imageLayoutVersion": "2.0.0"}'}), "OCI layout of version 2.0.0"),
        (lambda files: files.update({"oci-layout": b"{}"}), "there is no 'imageLayoutVersion'"),
        (lambda files: files.update({"oci-layout": b"[" * 100_000}), "not an OCI image"),
        (lambda files: files.update({"index.json": b'{"manifests": []}'}), "holds 0 images: none"),
        (lambda files: files.update({"index.json": b'{"schemaVersion": 3}'}), "manifest of another version"),
        (lambda files: _enter(files, {"schemaVersion": 1, "layers": []}), "manifest of another version"),
        (lambda files: files.update({"index.json": b'{"manifests": [{"digest": "md5:00", "size": 1}]}'}), "no digest"),
        (
            lambda files: files.update({"index.json": b'{"manifests": [{"digest": "sha256:../../x", "size": 1}]}'}),
            "no digest",
        ),
    ],
)
def test_what_is_of_another_version_or_is_none(tmp_path: Path, change: Change, said: str) -> None:
    files = layout(LOWER)
    change(files)
    with pytest.raises(GoldsmithError, match=said):
        read(packed(tmp_path / "image.tar", files))


def test_of_several_images_none_is_picked(tmp_path: Path) -> None:
    files = layout(LOWER)
    index = json.loads(files["index.json"])
    [first] = index["manifests"]
    # The same one under two names, and what says how it was built, are one image.
    attestation = {**described(b"x"), "platform": {"os": "unknown", "architecture": "unknown"}}
    index["manifests"] = [first, first, attestation]
    files["index.json"] = json.dumps(index).encode()
    assert read(packed(tmp_path / "image.tar", files))
    arm = {**described(b"y"), "platform": {"os": "linux", "architecture": "arm64"}}
    index["manifests"] = [first, arm]
    files["index.json"] = json.dumps(index).encode()
    with pytest.raises(UsageError, match="holds 2 images: linux/amd64, linux/arm64"):
        read(packed(tmp_path / "image.tar", files))


def test_an_index_in_an_index_is_followed_but_not_for_ever(tmp_path: Path) -> None:
    files = layout(LOWER)
    index = json.loads(files["index.json"])
    _enter(files, index)
    assert read(packed(tmp_path / "image.tar", files))
    for _ in range(6):
        _enter(files, json.loads(files["index.json"]))
    with pytest.raises(UsageError, match="manifest of another version"):
        read(packed(tmp_path / "deep.tar", files))


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("/etc/passwd"), os.mkfifo])
def test_a_blob_that_is_no_file_is_neither_followed_nor_waited_for(tmp_path: Path, make: Any) -> None:
    files = layout(LOWER)
    folder = laid(tmp_path / "image", files)
    blob = folder / next(name for name in files if name.startswith("blobs/"))
    blob.unlink()
    make(blob)
    with pytest.raises(GoldsmithError, match=r"can't be read: Too many levels|is no file"):
        read(folder)


def test_links_in_an_archive_do_not_lead_out_or_in_circles(tmp_path: Path) -> None:
    found = {"a": info("a", tarfile.SYMTYPE, linkname="b"), "b": info("b", tarfile.SYMTYPE, linkname="a")}
    found["c"] = info("c", tarfile.SYMTYPE, linkname="/etc/passwd")
    with tarfile.open(packed(tmp_path / "x.tar", {"x": b""})) as archive:
        for name in ("a", "c", "none"):
            with pytest.raises(GoldsmithError, match="there is no file"), oci.of_archive(archive, found)(name):
                pass


def test_more_layers_than_any_engine_takes(tmp_path: Path) -> None:
    with pytest.raises(GoldsmithError, match="has 501 layers"):
        read(packed(tmp_path / "image.tar", layout(*[layer()] * 501, pack=bytes)))
