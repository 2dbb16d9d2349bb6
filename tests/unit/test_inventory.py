"""How a host is reached, and what ssh's complaints mean."""

from pathlib import Path

import pytest

from goldsmith.errors import UsageError
from goldsmith.inventory import Inventory, connection, explain

OPTIONS = {
    "host": "192.0.2.7",
    "port": None,
    "remote_user": None,
    "private_key_file": None,
    "ssh_executable": "ssh",
    "ssh_args": "",
    "ssh_common_args": "",
    "ssh_extra_args": "",
    "host_key_checking": True,
    "timeout": 10,
}


def test_plain_host() -> None:
    found = connection(OPTIONS, python="python3", become=True)
    options = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=15")
    assert found.argv == ("ssh", "-T", *options, "192.0.2.7")
    assert (found.python, found.become) == ("python3", True)


def test_every_option_reaches_the_argv() -> None:
    options = {**OPTIONS, "port": 2222, "remote_user": "root", "private_key_file": "/k", "ssh_common_args": "-J 'a b'"}
    found = connection(options, python="auto_silent", become=True)
    assert found.argv[7:] == (
        "ServerAliveInterval=15",
        "-p",
        "2222",
        "-l",
        "root",
        "-i",
        "/k",
        "-J",
        "a b",
        "192.0.2.7",
    )
    assert (found.python, found.become) == ("python3", False)  # root needs no sudo


def test_host_key_checking_is_off_only_if_asked() -> None:
    assert "StrictHostKeyChecking=no" not in connection(OPTIONS, python="", become=False).argv
    assert (
        "StrictHostKeyChecking=no" in connection({**OPTIONS, "host_key_checking": False}, python="", become=False).argv
    )


@pytest.mark.parametrize(
    ("said", "what"),
    [
        (
            "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\nHost key verification failed.",
            "host key has changed",
        ),
        ("No ED25519 host key is known for 10.0.0.1 and you have requested strict checking.", "host key is not known"),
        ("root@10.0.0.1: Permission denied (publickey).", "refuses our key"),
        ("ssh: connect to host 10.0.0.1 port 22: Connection refused", "nothing listens"),
        ("ssh: connect to host 10.0.0.1 port 22: Connection timed out", "no answer"),
        ("ssh: Could not resolve hostname web9: Name or service not known", "no address"),
        ("something new", "something new"),
    ],
)
def test_explains_what_ssh_says(said: str, what: str) -> None:
    problem = explain(said)
    assert what in problem.what
    assert problem.hint


@pytest.fixture
def inventory(tmp_path: Path) -> Inventory:
    folder = tmp_path / "inventory"
    (folder / "group_vars").mkdir(parents=True)
    (folder / "hosts.yml").write_text(
        "web:\n  hosts:\n    web1: {ansible_host: 192.0.2.1}\n    box: {ansible_connection: local}\n"
    )
    (folder / "group_vars/web.yml").write_text("port: 2200\nansible_port: '{{ port + 22 }}'\nansible_user: ops\n")
    return Inventory(folder, tmp_path)


def test_variables_are_resolved_as_ansible_does(inventory: Inventory) -> None:
    argv = inventory.ssh("web1").argv
    assert argv[argv.index("-p") + 1] == "2222"
    assert argv[argv.index("-l") + 1] == "ops"
    assert argv[-1] == "192.0.2.1"


def test_unknown_host_names_the_nearest(inventory: Inventory) -> None:
    with pytest.raises(UsageError) as error:
        inventory.ssh("wbe1")
    assert error.value.hint == 'did you mean "web1"?'


def test_a_host_that_is_not_reached_by_ssh_says_so(inventory: Inventory) -> None:
    with pytest.raises(UsageError, match="reached by local"):
        inventory.ssh("box")


def test_patterns_select_hosts(inventory: Inventory) -> None:
    assert inventory.hosts("web:!box") == ["web1"]
    assert inventory.hosts("nothing") == []
    assert inventory.select("") == ["web1", "box"]
    with pytest.raises(UsageError, match='no host matches "nothing"') as error:
        inventory.select("nothing")
    assert "web1, box" in error.value.hint
