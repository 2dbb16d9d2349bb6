"""What pytest's report says of a machine, and which roles a playbook applies to a host."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from rich.console import Console

from goldsmith import config, roles, verify
from goldsmith.errors import UsageError
from goldsmith.inventory import Inventory, Problem
from goldsmith.progress import Progress

REPORT = """
<testsuite name="pytest">
  <testcase file="/x/roles/nginx/tests/test_nginx.py" name="test_answers[ansible://web1]" time="0.5" />
  <testcase file="/x/roles/nginx/tests/test_nginx.py" name="test_port[ansible://web1-80-a]" time="0.1">
    <failure message="AssertionError: assert False">tests/test_nginx.py:3: in test_port
E   assert False
E    +  where False = is_listening</failure>
  </testcase>
  <testcase file="/x/roles/os/tests/test_os.py" name="test_kernel[ansible://web1]" time="0.0">
    <skipped type="pytest.skip" message="not provable in a container: sysctl">x</skipped>
  </testcase>
  <testcase file="/x/roles/os/tests/test_os.py" name="test_disk[ansible://web1]" time="0.0">
    <error message="failed on setup with &quot;OSError&quot;">no line of pytest's</error>
  </testcase>
</testsuite>
"""
ROLE_OF_FILE = {"/x/roles/nginx/tests/test_nginx.py": "nginx", "/x/roles/os/tests/test_os.py": "os"}
MACHINE = verify.Machine("web1", "the web server", (), (), "live", {})


def test_report_is_read() -> None:
    checks = verify.read(ET.fromstring(REPORT), MACHINE, ROLE_OF_FILE)
    assert [(check.host, check.role, check.name, check.outcome, check.message) for check in checks] == [
        ("the web server", "nginx", "test_answers", "passed", ""),
        ("the web server", "nginx", "test_port[80-a]", "failed", "assert False\n+  where False = is_listening"),
        ("the web server", "os", "test_kernel", "skipped", "not provable in a container: sysctl"),
        ("the web server", "os", "test_disk", "failed", 'failed on setup with "OSError"'),
    ]


@pytest.mark.parametrize(
    ("outcomes", "unreachable", "code"),
    [(["passed", "skipped"], False, 0), (["passed", "failed"], True, 1), (["passed"], True, 4), ([], True, 4)],
)
def test_failed_goes_before_unreachable(outcomes: list[str], unreachable: bool, code: int) -> None:
    result = verify.Result([verify.Check("h", "r", "t", outcome, "", 0.0) for outcome in outcomes])
    if unreachable:
        result.unreachable["web2"] = Problem("gone", "look")
    assert result.exit_code == code


def test_two_roles_of_one_name_keep_their_collections() -> None:
    found = {"goldsmith.core.nginx": Path("/a"), "our.web.nginx": Path("/b"), "goldsmith.core.os": Path("/c")}
    assert verify.names(found) == {
        "goldsmith.core.nginx": Path("/a"),
        "our.web.nginx": Path("/b"),
        "os": Path("/c"),
    }


PLAYBOOK = """
- hosts: "{{ goldsmith_hosts | default('all') }}"
  roles:
    - one
    - {role: two, when: wanted}
    - {role: three, when: not wanted}
    - {role: four, when: ansible_facts.os_family == 'Debian'}
  tasks:
    - block:
        - ansible.builtin.include_role:
            name: five
        - ansible.builtin.import_role:
            name: six
    - ansible.builtin.include_role:
        name: seven
      when: goldsmith_delivery == 'image'
    - ansible.builtin.include_role:
        name: "{{ anything }}"
- hosts: db
  roles: [eight]
"""


@pytest.fixture
def project(tmp_path: Path) -> config.Project:
    for name in ("one", "two", "three", "four", "five", "six", "seven", "eight"):
        (tmp_path / "roles" / name / "tasks").mkdir(parents=True)
        (tmp_path / "roles" / name / "tasks" / "main.yml").write_text("[]\n")
    (tmp_path / "site.yml").write_text(PLAYBOOK)
    (tmp_path / "hosts.yml").write_text("web: {hosts: {web1: }, vars: {wanted: true}}\ndb: {hosts: {db1: }}\n")
    return config.Project(tmp_path, config.Config(images={"web": config.Image(playbook="site.yml")}))


def test_files_of_one_name_in_two_roles(project: config.Project) -> None:
    """By a real pytest: each check is its own role's, and what one file sets up is not the other's."""
    files = {
        "one": "import pytest\n@pytest.fixture(autouse=True)\ndef mine():\n    pytest.skip('one alone')\n",
        "four": "",
    }
    for role, text in files.items():
        (project.root / "roles" / role / "tests").mkdir()
        path = project.root / "roles" / role / "tests" / "test_default.py"
        path.write_text(f"{text}def test_{role}(host):\n    assert host.check_output('echo here') == 'here'\n")
    (project.root / "hosts.yml").write_text("all: {hosts: {web1: {ansible_connection: local, wanted: true}}}\n")
    machine = verify.Machine("web1", "web1", (project.root / "hosts.yml",), ("site.yml",), "live", {})
    result, suites = verify.Result(), ET.Element("testsuites")
    (project.root / "work").mkdir()
    with Progress(Console(file=io.StringIO()), "verify") as progress:
        verify._one(project, machine, progress, result, suites, only=[], folder=project.root / "work")
    assert [(check.role, check.name, check.outcome) for check in result.checks] == [
        ("one", "test_one", "skipped"),
        ("four", "test_four", "passed"),
    ]


@pytest.mark.parametrize(
    ("delivery", "expected"),
    [("live", ["one", "two", "four", "six", "five"]), ("image", ["one", "two", "four", "six", "five", "seven"])],
)
def test_roles_that_a_host_gets(project: config.Project, delivery: str, expected: list[str]) -> None:
    hosts = Inventory(project.root / "hosts.yml", project.root)
    found = roles.of_host(project, "site.yml", hosts, "web1", {"goldsmith_delivery": delivery})
    assert sorted(found) == sorted(expected)
    assert found["five"] == project.root / "roles" / "five"


def test_broken_playbook_is_a_usage_error(project: config.Project) -> None:
    (project.root / "site.yml").write_text("- hosts: all\n  roles: [nowhere]\n")
    with pytest.raises(UsageError, match="nowhere"):
        roles.of_host(project, "site.yml", Inventory(project.root / "hosts.yml", project.root), "web1", {})


def test_role_variables_are_the_inventorys_before_the_defaults(project: config.Project) -> None:
    role = project.root / "roles" / "one"
    (role / "defaults").mkdir()
    (role / "defaults" / "main.yml").write_text(
        'one_a: 1\none_b: "{{ one_a }}-{{ one_c }}"\none_c: low\none_d: "{{ ansible_facts.distribution }}"\n'
    )
    (role / "vars").mkdir()
    (role / "vars" / "main.yml").write_text('_one_x: ["{{ one_a }}"]\n')
    (project.root / "hosts.yml").write_text("web: {hosts: {web1: {one_c: high, place: '{{ inventory_dir }}'}}}\n")
    found = Inventory(project.root / "hosts.yml", project.root).role_variables("web1", role)
    assert {key: found[key] for key in ("one_a", "one_b", "_one_x", "place")} == {
        "one_a": 1,
        "one_b": "1-high",
        "_one_x": [1],
        "place": str(project.root),
    }
    assert "one_d" not in found
