"""What holds for every role, and what can be said about the roles without a machine."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.goldsmith.core.plugins.action import packages, python_bundle, role_variables
from ansible_collections.goldsmith.core.plugins.filter import scram_sha_256

ROOT = Path(__file__).parents[2]
ROLES = sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir())
SEAL = ROOT / "roles" / "seal" / "files" / "seal.sh"
SCENARIOS = sorted(path.parent for path in ROOT.glob("molecule/*/molecule.yml"))


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def options(role: Path) -> dict[str, Any]:
    return dict(load(role / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"])


def tasks(role: Path) -> list[dict[str, Any]]:
    files = [*(role / "tasks").glob("*.yml"), *(role / "handlers").glob("*.yml")]
    return [task for file in files for task in load(file)]


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def play(tmp_path: Path, role: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One role on this very machine. Only for what stops before it changes anything."""
    book = tmp_path / "play.yml"
    book.write_text(
        yaml.safe_dump(
            [{"hosts": "localhost", "connection": "local", "gather_facts": False, "roles": [f"goldsmith.core.{role}"]}]
        ),
        encoding="utf-8",
    )
    env = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_FORCE_COLOR": "0"}
    argv = ["ansible-playbook", str(book), *arguments]
    return subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


# Every role


def test_each_role_is_in_the_definition_or_has_a_scenario_of_its_own() -> None:
    site = load(ROOT / "playbooks" / "site.yml")
    applied = {entry["role"]: entry["tags"] for entry in site[0]["roles"]}
    applied[site[1]["tasks"][0]["ansible.builtin.include_role"]["name"]] = site[1]["tasks"][0]["tags"]
    assert {name: tags for name, tags in applied.items() if tags != [name.removeprefix("goldsmith.core.")]} == {}
    scenarios = {path.parent.name for path in ROOT.glob("molecule/*/molecule.yml")} - {
        "debian12_vm",
        "debian13_vm",
        "default",
        "upgrade",
    }
    alone = {name.removesuffix("_full").removesuffix("_off") for name in scenarios}
    assert {name.removeprefix("goldsmith.core.") for name in applied} | alone == {role.name for role in ROLES}


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_defaults_are_those_of_the_argument_specification(role: Path) -> None:
    specified = {name: option["default"] for name, option in options(role).items() if "default" in option}
    assert load(role / "defaults" / "main.yml") == specified
    assert list(load(role / "defaults" / "main.yml")) == list(options(role))


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_what_may_hold_a_secret_is_marked(role: Path) -> None:
    def unmarked(given: dict[str, Any]) -> Iterator[str]:
        for name, option in given.items():
            secret = "secret" in str(option["description"]) or name.endswith("environment")
            if ((secret and option["type"] == "dict") or name.endswith("password")) and not option.get("no_log"):
                yield name
            yield from unmarked(option.get("options", {}))

    assert list(unmarked(options(role))) == []


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_variables_are_named_after_their_role(role: Path) -> None:
    assert [name for name in options(role) if not name.startswith(f"{role.name}_")] == []
    internal = load(role / "vars" / "main.yml") if (role / "vars" / "main.yml").exists() else {}
    assert [name for name in internal if not name.startswith(f"_{role.name}_")] == []
    registered = [task["register"] for task in tasks(role) if "register" in task]
    assert [name for name in registered if not name.startswith(f"__{role.name}")] == []


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_misspelt_variables_are_refused_first(role: Path) -> None:
    first = load(role / "tasks" / "main.yml")[0]
    assert "goldsmith.core.role_variables" in first
    assert "when" not in first


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("roles/*/templates/*.j2")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_template_says_who_wrote_the_file(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("{{ ansible_managed | comment }}\n")


def test_no_template_has_an_order_of_chance() -> None:
    """Ansible's filters for sets give their result in another order in every run."""
    chance = re.compile(r"\| *(union|difference|intersect|symmetric_difference)\(")
    files = ROOT.glob("roles/*/templates/*.j2")
    assert [str(path) for path in files if chance.search(path.read_text(encoding="utf-8"))] == []


def test_no_role_asks_whether_it_is_in_a_container() -> None:
    asks = re.compile(r"virtualization|is_container|service_mgr|/\.dockerenv|systemd-detect-virt")
    files = [path for path in ROOT.glob("roles/**/*") if path.is_file() and path.suffix in {".yml", ".j2", ".sh"}]
    assert [str(path) for path in files if asks.search(path.read_text(encoding="utf-8"))] == []


def test_readmes_are_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert script("role_readme").main(["--check"]) == 0, capsys.readouterr().out


def test_no_two_roles_have_a_handler_of_one_name() -> None:
    # Of two handlers of one name in a play only the one that was defined last runs.
    names = Counter(
        name
        for path in ROOT.glob("roles/*/handlers/main.yml")
        for name in {task[key] for task in load(path) for key in ("name", "listen") if key in task}
    )
    assert [name for name, roles in names.items() if roles > 1] == []


# Scenarios


def verifier_paths(scenario: Path) -> list[Path]:
    """Where Molecule looks for tests: the directory, and what is added to it."""
    base = load(ROOT / ".config" / "molecule" / "config.yml")["verifier"]
    own = (load(scenario / "molecule.yml") or {}).get("verifier", {})
    known = {
        "${MOLECULE_PROJECT_DIRECTORY}": str(ROOT),
        "${MOLECULE_SCENARIO_DIRECTORY}": str(scenario),
        "${MOLECULE_SCENARIO_NAME}": scenario.name,
    }
    named = [{**base, **own}["directory"], *own.get("additional_files_or_dirs", [])]
    return [Path(re.sub(r"\$\{\w+\}", lambda match: known[match[0]], path)) for path in named]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.name)
def test_a_scenario_runs_tests(scenario: Path) -> None:
    # Molecule itself passes where there are none.
    for path in verifier_paths(scenario):
        assert path.is_file() or list(path.rglob("test_*.py")), path


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.name)
def test_a_scenario_runs_all_tests_that_it_has(scenario: Path) -> None:
    run = [
        file for path in verifier_paths(scenario) for file in ([path] if path.is_file() else path.rglob("test_*.py"))
    ]
    assert [file for file in scenario.glob("tests/**/test_*.py") if file not in run] == []


def test_the_default_scenario_is_all_roles_together() -> None:
    site = load(ROOT / "playbooks" / "site.yml")
    others, imported = load(ROOT / "molecule" / "shared" / "all_roles.yml")
    assert imported["ansible.builtin.import_playbook"] == "../../playbooks/site.yml"
    applied = [*others["roles"], *(entry["role"] for entry in site[0]["roles"]), "goldsmith.core.seal"]
    assert sorted(applied) == [f"goldsmith.core.{role.name}" for role in ROLES]
    assert ROOT / "roles" in verifier_paths(ROOT / "molecule" / "default")


def test_files_of_tests_have_different_names() -> None:
    # pytest takes two of one name for the same module.
    names = [path.name for part in ("roles", "molecule") for path in ROOT.glob(f"{part}/**/tests/**/test_*.py")]
    assert sorted(names) == sorted(set(names))


def test_each_role_has_a_scenario_with_its_defaults_and_one_with_almost_everything_overridden() -> None:
    names = {path.name for path in SCENARIOS}
    assert [role.name for role in ROLES if not {role.name, f"{role.name}_full"} <= names] == []


def inventory_variables(scenario: Path) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for path in sorted(scenario.glob("inventory/**/*.yml")):
        found = load(path)
        given.update(found["all"].get("vars", {}) if "all" in found else found)
        for host in (found.get("all", {}).get("hosts") or {}).values():
            given.update(host or {})
    return given


@pytest.mark.parametrize(
    "scenario", [path for path in SCENARIOS if path.name.endswith("_full")], ids=lambda path: path.name
)
def test_a_full_scenario_overrides_almost_everything(scenario: Path) -> None:
    role = ROOT / "roles" / scenario.name.removesuffix("_full")
    given = inventory_variables(scenario)
    # All switches of the role hardening turned over would leave nothing to test: hardening_off does that.
    known = {
        name: option for name, option in options(role).items() if (role.name, option["type"]) != ("hardening", "bool")
    }
    kept = [name for name, option in known.items() if given.get(name, option.get("default")) == option.get("default")]
    assert len(kept) <= max(1, len(known) / 4), kept


def test_each_switch_of_hardening_is_on_in_one_scenario_and_off_in_another() -> None:
    switches = {
        name: option["default"]
        for name, option in options(ROOT / "roles" / "hardening").items()
        if option["type"] == "bool"
    }
    scenarios = [inventory_variables(path) for path in SCENARIOS if path.name.startswith("hardening")]
    seen = {name: {given.get(name, default) for given in scenarios} for name, default in switches.items()}
    assert {name: values for name, values in seen.items() if values != {True, False}} == {}


def test_scenario_with_hardening_off_keeps_no_control_on() -> None:
    given = inventory_variables(ROOT / "molecule" / "hardening_off")
    known = options(ROOT / "roles" / "hardening")
    assert [name for name, option in known.items() if given.get(name, option["default"]) is True] == []


# Misspelt variables


@pytest.mark.parametrize(
    ("present", "others", "unknown"),
    [
        (["nginx_sites", "other_sites", "nginx"], [], []),
        (["nginx_sitse", "nginx_sites"], [], ["nginx_sitse"]),
        (["_nginx_internal", "__nginx_registered"], [], []),
        (["nginx_exporter_port"], ["nginx", "nginx_exporter"], []),
        (["nginx_exporter_port"], ["nginx", "exporter"], ["nginx_exporter_port"]),
    ],
)
def test_unknown_variables_are_found(present: list[str], others: list[str], unknown: list[str]) -> None:
    assert role_variables.unknown_variables("nginx", {"nginx_sites"}, present, others) == unknown


def test_misspelt_variable_stops_the_role_and_the_nearest_is_named(tmp_path: Path) -> None:
    done = play(tmp_path, "nginx", "--extra-vars", '{"nginx_sitse": []}')
    assert done.returncode == 2
    assert "has no variable nginx_sitse (did you mean nginx_sites?)" in done.stdout + done.stderr


def test_old_variable_is_refused_with_what_took_its_place(tmp_path: Path) -> None:
    done = play(tmp_path, "os", "--extra-vars", '{"os_journald": {}}')
    assert done.returncode == 2
    assert "no variable os_journald (use logging_journal_settings of the role logging)" in done.stdout + done.stderr


def test_application_without_a_command_is_refused(tmp_path: Path) -> None:
    done = play(tmp_path, "python_app", "--check", "--extra-vars", '{"python_app_name": "a", "python_app_source": "/"}')
    assert done.returncode == 2
    assert "python_app_source and python_app_command are needed too" in done.stdout + done.stderr


def test_ignored_variable_passes(tmp_path: Path) -> None:
    done = play(tmp_path, "nginx", "--extra-vars", '{"nginx_other": 1, "goldsmith_ignored_variables": ["nginx_other"]}')
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("key", "instead"),
    [
        ("Port", "ssh_port"),
        ("listenaddress", "ssh_listen_addresses"),
        ("AllowUsers", "ssh_allow_users"),
        ("ALLOWGROUPS", "ssh_allow_groups"),
    ],
)
def test_ssh_setting_that_would_add_to_a_variable_is_refused(tmp_path: Path, key: str, instead: str) -> None:
    done = play(tmp_path, "ssh", "--check", "--extra-vars", json.dumps({"ssh_settings": {key: "1", "UseDNS": "no"}}))
    assert done.returncode == 2
    assert f"ssh_settings has {key} (use {instead})" in " ".join((done.stdout + done.stderr).split())


# Passwords of databases


def test_verifier_is_the_same_in_every_run_and_another_for_each_name() -> None:
    made = scram_sha_256.scram_sha_256("it's a secret", "shop")
    assert made == scram_sha_256.scram_sha_256("it's a secret", "shop")
    assert made != scram_sha_256.scram_sha_256("it's a secret", "other")
    assert made.startswith("SCRAM-SHA-256$4096:")
    assert scram_sha_256.scram_sha_256(made, "other") == made


@pytest.mark.parametrize("password", ["", "pässword", "line\n"])
def test_password_that_postgresql_would_read_otherwise_is_refused(password: str) -> None:
    with pytest.raises(AnsibleFilterError, match="the password of shop"):
        scram_sha_256.scram_sha_256(password, "shop")


# Packages


@pytest.mark.parametrize(
    ("state", "answer", "todo"),
    [
        ("present", "nginx nginx installed\nlists\n", ["less"]),
        ("present", "nginx nginx installed\nless less installed\n", []),
        ("present", "nginx nginx installed\nless less config-files\n", ["less"]),
        ("present", "nginx:i386 nginx not-installed\nnginx nginx installed\nless less installed\n", []),
        ("present", "", ["nginx", "less"]),
        ("absent", "nginx nginx installed\n", ["nginx"]),
        ("absent", "less less config-files\n", ["less"]),
        ("absent", "", []),
    ],
)
def test_apt_is_asked_for_what_is_not_as_wanted(state: str, answer: str, todo: list[str]) -> None:
    assert packages.to_do(["nginx", "less"], state, answer) == todo


def test_package_names_are_quoted() -> None:
    assert "-- 'a; reboot' b " in packages.question(["a; reboot", "b"])


# The bundle of an application


def application(root: Path) -> Path:
    (root / "static").mkdir(parents=True)
    (root / "app.py").write_text("print('hello')\n", encoding="utf-8")
    (root / "static" / "style.css").write_text("b {}\n", encoding="utf-8")
    (root / "run").write_text("#!/bin/sh\n", encoding="utf-8")
    (root / "run").chmod(0o700)
    (root / "link").symlink_to("app.py")
    return root


def packed(root: Path) -> bytes:
    return python_bundle.pack([(f"app/{p.relative_to(root)}", p) for p in python_bundle.source_files(root)])


def test_bundle_depends_on_names_contents_and_execute_bits_alone(tmp_path: Path) -> None:
    one, two = application(tmp_path / "one"), application(tmp_path / "two")
    os.utime(two / "app.py", (1, 1))
    (two / "app.py").chmod(0o666)
    (two / "__pycache__").mkdir()
    (two / "__pycache__" / "app.cpython-311.pyc").write_bytes(b"x")
    assert packed(one) == packed(two)
    (two / "app.py").chmod(0o777)
    assert packed(one) != packed(two)


def test_bundle_holds_files_that_anybody_can_read_and_root_owns(tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(packed(application(tmp_path / "one")))) as tar:
        assert {(member.name, oct(member.mode), member.uid) for member in tar} == {
            ("app", "0o755", 0),
            ("app/static", "0o755", 0),
            ("app/app.py", "0o644", 0),
            ("app/link", "0o777", 0),
            ("app/run", "0o755", 0),
            ("app/static/style.css", "0o644", 0),
        }


def test_wheels_are_chosen_for_the_host_and_not_the_controller() -> None:
    names = python_bundle.platforms("aarch64", "glibc 2.19")
    assert names == [
        "manylinux_2_19_aarch64",
        "manylinux_2_18_aarch64",
        "manylinux_2_17_aarch64",
        "manylinux2014_aarch64",
    ]
    argv = python_bundle.download_argv(Path("r.txt"), Path("into"), (3, 13), names)
    assert argv[argv.index("--python-version") + 1] == "3.13"
    assert {"--require-hashes", "--only-binary=:all:"} <= set(argv)


def test_host_without_glibc_is_refused() -> None:
    with pytest.raises(Exception, match="glibc only"):
        python_bundle.platforms("x86_64", "")


def fake_pip(folder: Path, body: str) -> list[str]:
    pip = folder / "pip"
    pip.write_text(
        f"#!/bin/sh\nwhile [ $# -gt 0 ]; do [ $1 = --dest ] && into=$2; shift; done\n{body}\n", encoding="utf-8"
    )
    pip.chmod(0o755)
    return [str(pip)]


def test_two_runs_at_once_download_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"
    pip = fake_pip(tmp_path, f"echo called >>{log}; sleep 0.2; echo wheel >$into/a.whl")
    monkeypatch.setattr(python_bundle, "pip_command", lambda: pip)
    cache = tmp_path / "cache"
    cache.mkdir()
    answers: list[bool] = []

    def fetch() -> None:
        answers.append(python_bundle.fetch_wheels(tmp_path / "r.txt", cache / "wheels-1.tar", (3, 11), []))

    threads = [threading.Thread(target=fetch) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [False, False, True]
    assert log.read_text(encoding="utf-8") == "called\n"
    assert sorted(path.name for path in cache.iterdir()) == ["wheels-1.lock", "wheels-1.tar"]


def test_failed_download_leaves_no_archive_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pip = fake_pip(tmp_path, "echo half >$into/a.whl; echo 'ERROR: hashes do not match' >&2; exit 1")
    monkeypatch.setattr(python_bundle, "pip_command", lambda: pip)
    cache = tmp_path / "cache"
    cache.mkdir()
    with pytest.raises(Exception, match="hashes do not match"):
        python_bundle.fetch_wheels(tmp_path / "r.txt", cache / "wheels-1.tar", (3, 11), [])
    assert [path.name for path in cache.iterdir()] == ["wheels-1.lock"]


# Seal

BELONGS_TO_ONE_MACHINE = [
    "etc/ssh/ssh_host_ed25519_key",
    "etc/ssh/ssh_host_ed25519_key.pub",
    "root/.ssh/authorized_keys",
    "root/.bash_history",
    "root/.ansible/tmp/x",
    "home/ops/.python_history",
    "var/cache/apt/archives/less_1_amd64.deb",
    "var/cache/apt/pkgcache.bin",
    "var/lib/apt/lists/mirror.example_Packages",
    "var/lib/dbus/machine-id",
    "var/lib/dhcp/dhclient.eth0.leases",
    "var/lib/systemd/random-seed",
    "var/lib/cloud/instances/i-1/user-data.txt",
    "var/log/journal/abc/system.journal",
    "var/log/dpkg.log.1",
    "var/log/old.log.gz",
    "var/tmp/systemd-private-1-hello/x",
    "etc/docker/key.json",
    "var/lib/docker/engine-id",
    "var/lib/docker/overlay2/abc/diff/etc/passwd",
    "var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db",
]
IS_EMPTIED = ["etc/machine-id", "var/log/dpkg.log", "var/log/nginx/access.log", "var/log/wtmp"]
STAYS = [
    "etc/ssh/sshd_config",
    "etc/docker/daemon.json",
    "home/ops/.ssh/authorized_keys",
    "tmp/ansible-x/module",
    "var/lib/apt/extended_states",
]


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    for name in [*BELONGS_TO_ONE_MACHINE, *IS_EMPTIED, *STAYS]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("something\n", encoding="utf-8")
    (tmp_path / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/bash\n", encoding="utf-8")
    wants = tmp_path / "etc" / "systemd" / "system" / "multi-user.target.wants"
    wants.mkdir(parents=True)
    (wants / "goldsmith-first-boot.service").symlink_to("/etc/systemd/system/goldsmith-first-boot.service")
    program = tmp_path / "usr" / "local" / "sbin" / "goldsmith-first-boot"
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    return tmp_path


DATA = [
    "var/lib/postgresql/15/main/PG_VERSION",
    "var/lib/goldsmith/postgresql-15-main",
    "var/lib/redis/dump.rdb",
    "var/lib/redis/appendonlydir/appendonly.aof.manifest",
    "etc/ssl/private/ssl-cert-snakeoil.key",
    "etc/ssl/certs/ssl-cert-snakeoil.pem",
]


@pytest.fixture
def databases(machine: Path) -> Path:
    """A machine with the units by which it would make its data anew."""
    for name in [*DATA, "etc/systemd/system/redis-server.service.d/goldsmith.conf", "var/lib/postgresql/14/main/x"]:
        (machine / name).parent.mkdir(parents=True, exist_ok=True)
        (machine / name).write_text("something\n", encoding="utf-8")
    wants = machine / "etc/systemd/system/postgresql.service.wants"
    wants.mkdir()
    (wants / "goldsmith-postgresql.service").symlink_to("/etc/systemd/system/goldsmith-postgresql.service")
    return machine


def seal(machine: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "SEAL_ROOT": str(machine)}
    return subprocess.run(["sh", str(SEAL), *arguments], env=env, capture_output=True, text=True, check=False)


def test_seal_takes_what_belongs_to_one_machine_and_nothing_else(machine: Path) -> None:
    done = seal(machine, "root")
    assert (done.returncode, done.stderr) == (0, "")
    assert [name for name in BELONGS_TO_ONE_MACHINE if (machine / name).exists()] == []
    assert [(machine / name).read_text(encoding="utf-8") for name in IS_EMPTIED] == [""] * len(IS_EMPTIED)
    assert [name for name in STAYS if not (machine / name).exists()] == []


@pytest.mark.parametrize("name", [*BELONGS_TO_ONE_MACHINE, *IS_EMPTIED])
def test_seal_names_each_thing(machine: Path, name: str) -> None:
    # What it does not name is a change that Ansible would not report.
    named = seal(machine, "root").stdout
    top = {"root/.ansible/tmp/x": "root/.ansible", "var/log/journal/abc/system.journal": "var/log/journal/abc"}
    top["var/lib/cloud/instances/i-1/user-data.txt"] = "cloud-init"
    top["var/lib/docker/overlay2/abc/diff/etc/passwd"] = "var/lib/docker/overlay2"
    top["var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db"] = (
        "var/lib/containerd/io.containerd.metadata.v1.bolt"
    )
    top["var/tmp/systemd-private-1-hello/x"] = "var/tmp/systemd-private-1-hello"
    assert re.search(rf"{re.escape(top.get(name, name))}$", named, re.MULTILINE)


def test_seal_finds_nothing_the_second_time(machine: Path) -> None:
    seal(machine, "root")
    assert seal(machine, "root").stdout == ""


def test_seal_is_silent_about_the_folder_that_ansible_runs_it_in(machine: Path) -> None:
    seal(machine, "root")
    folder = machine / "root/.ansible/tmp/ansible-tmp-1"
    folder.mkdir(parents=True)
    copy = shutil.copy(SEAL, folder)
    env = {**os.environ, "SEAL_ROOT": str(machine)}
    done = subprocess.run(["sh", copy, "root"], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not (machine / "root/.ansible").exists()


def test_seal_in_check_mode_says_the_same_and_changes_nothing(machine: Path) -> None:
    before = sorted((str(path), path.is_file() and path.read_bytes()) for path in machine.rglob("*"))
    told = seal(machine, "--check", "root").stdout
    assert before == sorted((str(path), path.is_file() and path.read_bytes()) for path in machine.rglob("*"))
    assert told == seal(machine, "root").stdout


@pytest.mark.parametrize(
    "missing",
    ["etc/systemd/system/multi-user.target.wants/goldsmith-first-boot.service", "usr/local/sbin/goldsmith-first-boot"],
)
def test_seal_keeps_host_keys_where_nothing_would_make_new_ones(machine: Path, missing: str) -> None:
    (machine / missing).unlink()
    done = seal(machine, "root")
    assert done.returncode == 1
    assert "apply the role first_boot before seal" in done.stderr
    assert (machine / "etc/ssh/ssh_host_ed25519_key").exists()
    assert (machine / "etc/machine-id").read_text(encoding="utf-8") == "something\n"


def test_seal_keeps_package_lists_if_asked(machine: Path) -> None:
    seal(machine, "--keep-package-lists", "root")
    assert (machine / "var/lib/apt/lists/mirror.example_Packages").exists()


def test_seal_takes_data_that_the_machine_makes_anew_and_no_other(databases: Path) -> None:
    named = seal(databases, "root").stdout
    assert [name for name in DATA if (databases / name).exists()] == []
    assert "removed /var/lib/postgresql/15/main\n" in named
    # Nobody noted that this one was made here.
    assert (databases / "var/lib/postgresql/14/main/x").exists()


def test_seal_keeps_data_if_asked(databases: Path) -> None:
    seal(databases, "--keep-data", "root")
    assert [name for name in DATA if not (databases / name).exists()] == []


def test_seal_keeps_data_that_nothing_would_make_anew(databases: Path) -> None:
    shutil.rmtree(databases / "etc/systemd/system/postgresql.service.wants")
    shutil.rmtree(databases / "etc/systemd/system/redis-server.service.d")
    seal(databases, "root")
    assert [name for name in DATA if not (databases / name).exists()] == []


def test_seal_leaves_a_linked_machine_id_alone(machine: Path) -> None:
    copy = machine / "var/lib/dbus/machine-id"
    copy.unlink()
    copy.symlink_to("/etc/machine-id")
    seal(machine, "root")
    assert copy.is_symlink()


def test_seal_refuses_an_account_that_is_not_there(machine: Path) -> None:
    done = seal(machine, "nobody-here")
    assert done.returncode == 1
    assert "there is no account nobody-here" in done.stderr


@pytest.mark.parametrize("arguments", [(), ("--extra-vars", "goldsmith_delivery=live")], ids=["not set", "live"])
def test_seal_refuses_a_live_host(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    # In check mode, so that this machine keeps its identity should the role ever forget to refuse.
    done = play(tmp_path, "seal", "--check", *arguments)
    assert done.returncode == 2
    assert "It runs only where goldsmith_delivery is 'image'" in done.stdout


# The group docker


def test_docker_engine_refuses_members_whom_the_role_users_would_take_out(tmp_path: Path) -> None:
    # In check mode, so that this machine gets no engine should the role ever forget to refuse.
    accounts = '[{"name": "ops"}, {"name": "ci", "groups": ["docker"]}, {"name": "other"}]'
    given = f'{{"docker_engine_users": ["ops", "ci"], "users_accounts": {accounts}}}'
    done = play(tmp_path, "docker_engine", "--check", "--extra-vars", given)
    assert done.returncode == 2
    assert "the role users sets the groups of ops exactly" in " ".join((done.stdout + done.stderr).split())
