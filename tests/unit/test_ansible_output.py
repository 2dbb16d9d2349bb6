"""The reader of ansible-playbook's output, on what Packer really printed."""

import pytest

from goldsmith.ansible_output import Failure, Reader, failure_message
from tests.paths import FIXTURES


def read(name: str) -> tuple[list[str], Failure | None]:
    reader = Reader()
    lines = (FIXTURES / "packer" / f"{name}.txt").read_text().splitlines()
    return [task for task in map(reader.feed, lines) if task], reader.failure


@pytest.mark.parametrize(
    ("name", "task", "where", "message"),
    [
        ("fail", "Write a file", "/project/fail.yml:7", "Destination directory /no/such/folder does not exist"),
        ("loop", "Run each", "/project/loop.yml:4", "non-zero return code: it is broken"),
        ("syntax", "", "/project/syntax.yml:5", "YAML parsing failed"),
        ("norole", "", "/project/norole.yml:2", "the role 'no_such_role' was not found"),
    ],
)
def test_names_the_task_that_failed(name: str, task: str, where: str, message: str) -> None:
    _, failure = read(name)
    assert failure is not None
    assert (failure.task, failure.where) == (task, where)
    assert message in failure.message


def test_ignored_and_rescued_failures_are_not_the_reason() -> None:
    tasks, failure = read("ignored")
    assert tasks == ["Ignored on purpose", "Fails inside a block", "Rescue", "Template"]
    assert failure is not None
    assert failure.task == "Template"
    assert "'nothing' is undefined" in failure.message


def test_counts_what_went_well() -> None:
    reader = Reader()
    for line in [
        "changed: [web-image] => (item=true)",
        "ok: [web-image]",
        "changed: [web-image]",
        "skipping: [web-image]",
    ]:
        reader.feed(f"    docker.image: {line}")
    assert (reader.ok, reader.changed) == (3, 2)


def test_an_ignored_failure_alone_is_none() -> None:
    reader = Reader()
    for line in ["TASK [x] ***", 'fatal: [web-image]: FAILED! => {"msg": "no"}', "...ignoring"]:
        reader.feed(line)
    assert reader.failure is None


def test_message_of_a_loop_is_that_of_the_item_that_failed() -> None:
    result = {"msg": "One or more items failed", "results": [{"failed": False}, {"failed": True, "msg": "disk full"}]}
    assert failure_message(result) == "disk full"


@pytest.mark.parametrize("source", ["docker.image", "qemu.disk"])
def test_each_source_that_we_build_is_read(source: str) -> None:
    assert Reader().feed(f"    {source}: TASK [goldsmith.core.seal : Seal] ******") == "goldsmith.core.seal : Seal"


def test_what_a_program_said_on_a_terminal_is_told_and_not_who_closed_it() -> None:
    closed = "Shared connection to web1 closed.\r\n"
    result = {"msg": "non-zero return code", "rc": 1, "stderr": closed, "stdout": "out of luck\r\n"}
    assert failure_message(result) == "non-zero return code: out of luck"
    assert failure_message({**result, "stdout": ""}) == "non-zero return code"
