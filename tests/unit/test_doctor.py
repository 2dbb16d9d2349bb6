"""Versions as programs print them, and what counts as missing."""

import pytest

from goldsmith import doctor


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("Packer v1.6.6", "1.6.6"),
        ("Docker version 20.10.24+dfsg1, build 297e128", "20.10.24+dfsg1"),
        ("OpenSSH_9.2p1 Debian-2+deb12u7, OpenSSL 3.0.17", "9.2p1"),
        ("git version 2.39.5", "2.39.5"),
        ("qemu-img version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\nCopyright (c) 2003-2022", "7.2.22"),
        ("*** zstd command line interface 64-bits v1.5.4, by Yann Collet ***", "1.5.4"),
        ("ansible-playbook [core 2.19.14]", "2.19.14"),
    ],
)
def test_version_in_what_a_program_says(said: str, version: str) -> None:
    assert doctor.version_in(said) == version


def test_only_required_tools_count_as_missing() -> None:
    required = doctor.Tool("packer", "build", "apt-get install packer", ("packer",))
    optional = doctor.Tool("mmdebstrap", "build", "apt-get install mmdebstrap", ("mmdebstrap",), required=False)
    found = [doctor.Found(required, None), doctor.Found(optional, None)]
    assert [each.tool.name for each in doctor.missing(found)] == ["packer"]


def test_a_tool_that_is_not_on_path_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    found = {each.tool.name: each.version for each in doctor.examine()}
    assert found["packer"] is None
    assert found["docker engine"] is None
    assert found["python"]
