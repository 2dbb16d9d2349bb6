"""What of a definition is beyond proof, each with its line; and what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from goldsmith import unprovable
from tests.paths import EXAMPLE, ROOT

COMMIT = "0" * 40


def findings(folder: Path, task: str, name: str = "main.yml") -> list[unprovable.Finding]:
    path = folder / "tasks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(task)
    return unprovable.of_role(folder)


@pytest.mark.parametrize(
    "task",
    [
        "ansible.builtin.uri: {url: https://example.org}",
        "uri: url=https://example.org",
        "ansible.builtin.get_url: {url: https://example.org/x, dest: /x}",
        "ansible.builtin.get_url: {url: https://example.org/x, dest: /x, checksum: 'sha256:https://example.org/s'}",
        "ansible.builtin.git: {repo: x, dest: /x}",
        "ansible.builtin.git: {repo: x, dest: /x, version: main}",
        "ansible.builtin.pip: {name: flask}",
        "ansible.builtin.pip: {name: [flask==3.0, jinja2]}",
        "ansible.builtin.pip: {requirements: /x}",
        "ansible.builtin.apt: {name: nginx, state: latest}",
        "ansible.builtin.apt: {upgrade: dist}",
        "ansible.builtin.apt: {deb: 'https://example.org/x.deb'}",
        "ansible.builtin.unarchive: {src: 'https://example.org/x.tar', dest: /x, remote_src: true}",
        "ansible.builtin.copy: {src: /etc/hosts, dest: /x}",
        "ansible.builtin.command: curl -o /x example.org",
        "ansible.builtin.shell: {cmd: 'pip install x'}",
        "ansible.builtin.script: x.sh",
        "goldsmith.core.carried_command: {argv: [x], always: true}",
        "community.docker.docker_container: {name: x, pull: always}",
        'ansible.builtin.debug: {msg: \'{{ lookup("env", "HOME") }}\'}',
        "ansible.builtin.debug: {msg: \"{{ query('community.hashi_vault.vault_read', 'x') }}\"}",
        "ansible.builtin.debug: {msg: '{{ lookup(which, 1) }}'}",
        'ansible.builtin.debug: {msg: \'{{ lookup("file", "/etc/hosts") }}\'}',
        "ansible.builtin.debug: {msg: '{{ lookup(\"file\", path) }}'}",
        "ansible.builtin.debug: {msg: '{{ ansible_facts.memtotal_mb }}'}",
        "ansible.builtin.debug: {msg: \"{{ ansible_facts['default_ipv4'].address }}\"}",
        "ansible.builtin.debug: {msg: '{{ ansible_facts | length }}'}",
        "ansible.builtin.debug: {msg: '{{ ansible_default_ipv4.address }}'}",
        "ansible.builtin.debug: {msg: '{{ hostvars.db1.x }}'}",
        "ansible.builtin.debug: {msg: '{{ now() }}'}",
        "ansible.builtin.debug: {msg: '{{ [1, 2] | random }}'}",
        "ansible.builtin.user: {name: x, password: '{{ x | password_hash(\"sha512\") }}'}",
        "ansible.builtin.command: hostname\n  delegate_to: db1",
        "ansible.builtin.debug: {msg: '{{ item }}'}\n  with_url: https://example.org",
        "ansible.builtin.include_role: {name: '{{ which }}'}",
    ],
)
def test_what_is_beyond_proof(tmp_path: Path, task: str) -> None:
    found = findings(tmp_path, f"# a comment\n- name: Something\n  {task}\n")
    assert found
    assert {each.line for each in found} <= {3, 4}
    assert str(found[0]).startswith(f"{tmp_path}/tasks/main.yml:")


@pytest.mark.parametrize(
    "task",
    [
        f"ansible.builtin.git: {{repo: x, dest: /x, version: '{COMMIT}'}}",
        "ansible.builtin.get_url: {url: https://example.org/x, dest: /x, checksum: 'sha256:00'}",
        "ansible.builtin.pip: {name: flask==3.0.0}",
        "ansible.builtin.apt: {name: [git, curl], state: present}",
        "ansible.builtin.copy: {src: x, dest: /x}",
        "ansible.builtin.copy: {src: /x, dest: /y, remote_src: true}",
        "ansible.builtin.command: systemctl daemon-reload",
        'ansible.builtin.debug: {msg: \'{{ lookup("vars", "x") }}\'}',
        'ansible.builtin.debug: {msg: \'{{ lookup("ansible.builtin.file", "x.txt") }}\'}',
        "ansible.builtin.debug: {msg: '{{ ansible_facts.distribution_major_version }}'}",
        "ansible.builtin.user: {name: x, password: '{{ x | password_hash(\"sha512\", salt) }}'}",
        "ansible.builtin.debug: {msg: '{{ item }}'}\n  with_items: [1]",
    ],
)
def test_what_is_not(tmp_path: Path, task: str) -> None:
    assert findings(tmp_path, f"- name: Something\n  {task}\n") == []


def test_roles_that_a_role_brings_are_not_looked_at(tmp_path: Path) -> None:
    assert [each.line for each in findings(tmp_path, "- name: X\n  ansible.builtin.include_role: {name: other}\n")] == [
        2
    ]
    (tmp_path / "tasks/main.yml").unlink()
    (tmp_path / "meta").mkdir()
    meta = tmp_path / "meta/main.yml"
    meta.write_text("dependencies:\n  - role: other\n")
    assert [each.line for each in unprovable.of_role(tmp_path)] == [1]
    meta.write_text("dependencies: []\n")
    assert unprovable.of_role(tmp_path) == []
    play = tmp_path / "site.yml"
    play.write_text("- hosts: all\n  tasks:\n    - name: X\n      ansible.builtin.include_role: {name: other}\n")
    assert unprovable.of_file(play) == []


def test_lines_of_templates_and_blocks(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates/x.conf").write_text("a\nworkers {{ ansible_processor_vcpus }}\n")
    [found] = unprovable.of_role(tmp_path)
    assert (found.file.name, found.line) == ("x.conf", 2)
    block = "- name: X\n  ansible.builtin.debug:\n    msg: |\n      a\n      {{ now() }}\n"
    assert [each.line for each in findings(tmp_path, block)] == [5, 2]


def test_a_file_that_cannot_be_read_is_not_taken_for_harmless(tmp_path: Path) -> None:
    assert [each.why for each in findings(tmp_path, "- a: [\n")] == ["is not valid YAML"]


def test_tags_of_ansible_are_no_obstacle(tmp_path: Path) -> None:
    assert findings(tmp_path, "x: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  00\ny: !unsafe '{{ now }}'\n") == []


def test_asking_the_host_itself_is_no_other_system(tmp_path: Path) -> None:
    found = findings(tmp_path, "- name: X\n  ansible.builtin.uri:\n    url: '{{ health }}'\n")
    assert unprovable.on_host(found, {"health": "http://127.0.0.1:8000/health"}) == []
    for elsewhere in ({"health": "http://127.0.0.1.example.org/"}, {"health": "https://example.org"}, {}):
        assert unprovable.on_host(found, elsewhere) == found


def test_a_projects_own_files_without_its_output_and_tests(tmp_path: Path) -> None:
    for folder in (".", "artifacts", "tests", ".hidden", "group_vars"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "x.yml").write_text("x: '{{ now() }}'\n")
    found = unprovable.of_project(tmp_path, tmp_path / "artifacts")
    assert [str(each.file.relative_to(tmp_path)) for each in found] == ["group_vars/x.yml", "x.yml"]


def test_the_example_is_within_proof_but_for_its_health_check() -> None:
    assert unprovable.of_project(EXAMPLE, EXAMPLE / "artifacts") == []
    provable = ("firewall", "hardening", "logging", "nginx", "os", "ssh", "time", "updates", "users")
    assert [str(found) for role in provable for found in unprovable.of_role(ROOT / "roles" / role)] == []
    [health] = unprovable.of_role(ROOT / "roles/python_app")
    assert unprovable.on_host([health], {"python_app_health_url": "http://127.0.0.1:8000/"}) == []
