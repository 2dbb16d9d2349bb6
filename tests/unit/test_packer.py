"""Packer's template: complete, described, and wrong values are told before anything starts."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.paths import ROOT

TEMPLATE = ROOT / "packer"
TARGETS = {
    "docker.image",
    "qemu.iso",
    "qemu.disk",
    "virtualbox-iso.image",
    "virtualbox-ovf.image",
    "vmware-iso.image",
    "vmware-vmx.image",
    "parallels-iso.image",
    "hyperv-iso.image",
    "amazon-ebs.image",
    "digitalocean.image",
}
AMD64_ONLY = {"virtualbox-iso.image", "hyperv-iso.image", "digitalocean.image"}
VAR_FILES = sorted(TEMPLATE.glob("targets/*.pkrvars.hcl"))

ANSIBLE = """\
#!/bin/sh
echo "ansible-playbook $*" >>"$LOG"
case "$*" in *--version*) echo "ansible-playbook [core 2.19.0]"; exit ;; esac
while [ $# -gt 0 ]; do
  if [ "$1" = -i ] && [ -f "$2" ]; then cat "$2" >>"$LOG"; fi
  shift
done
"""
DOCKER = """\
#!/bin/sh
echo "docker $*" >>"$LOG"
case $1 in
  -v) echo "Docker version 20.10.24" ;;
  run) echo c0ffee ;;
  commit | inspect) echo sha256:abc ;;
  cp) [ "$2" != - ] || cat >/dev/null ;;
esac
"""

ORDERS = [
    "docker exec --interactive c0ffee sh -e",
    "docker exec c0ffee rm -rf /etc/dpkg/dpkg.cfg.d/goldsmith-build /etc/apt/apt.conf.d/zz-goldsmith-build "
    "/run/goldsmith-packages/build-by-hand",
]
"""Of the build itself, before and after the roles."""


def text(name: str) -> str:
    return (TEMPLATE / name).read_text(encoding="utf-8")


def docs() -> str:
    return (ROOT / "docs/targets.md").read_text(encoding="utf-8")


def variables() -> dict[str, str]:
    """Each variable of the template, and what its block says."""
    return dict(re.findall(r'^variable "(\w+)" \{\n(.*?)^\}', text("variables.pkr.hcl"), re.DOTALL | re.MULTILINE))


def assigned(file: Path) -> dict[str, str]:
    return dict(re.findall(r"^(\w+) += (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE))


@pytest.fixture
def packer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the template, and programs that only write down what they are told."""
    for name, script in (("ansible-playbook", ANSIBLE), ("docker", DOCKER)):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(script)
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    monkeypatch.setenv("CHECKPOINT_DISABLE", "1")
    monkeypatch.setenv("DIGITALOCEAN_API_TOKEN", "none")
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "playbooks", tmp_path / "playbooks")
    shutil.copytree(TEMPLATE, tmp_path / "packer")
    return tmp_path / "packer"


def run(*arguments: str) -> tuple[int, str]:
    """Exit code, and all that Packer says, in one line: it breaks lines where it likes."""
    done = subprocess.run(["packer", *arguments, "packer"], capture_output=True, text=True, check=False)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def test_every_variable_has_a_type_and_a_description() -> None:
    assert len(variables()) == text("variables.pkr.hcl").count("\nvariable ")
    for name, block in variables().items():
        assert re.search(r"^  type += \S", block, re.MULTILINE), name
        assert re.search(r'^  description += ".{20,}"$', block, re.MULTILINE), name


def test_variables_are_declared_in_one_place() -> None:
    declaring = [path.name for path in TEMPLATE.glob("*.pkr.hcl") if re.search(r"(?m)^variable ", path.read_text())]
    assert declaring == ["variables.pkr.hcl"]


def test_every_variable_is_used() -> None:
    used = set(re.findall(r"\bvar\.(\w+)", text("sources.pkr.hcl") + text("build.pkr.hcl")))
    assert used == set(variables())


def test_there_is_a_file_for_each_system_and_architecture() -> None:
    names = {path.name.removesuffix(".pkrvars.hcl") for path in VAR_FILES}
    assert names == {f"debian-{release}-{machine}" for release in (12, 13) for machine in ("amd64", "arm64")}


@pytest.mark.parametrize("file", VAR_FILES, ids=lambda path: path.name.split(".")[0])
def test_file_of_a_system_is_right(file: Path) -> None:
    values = assigned(file)
    _, release, machine = file.name.split(".")[0].split("-")
    assert values.keys() <= variables().keys()
    assert values["architecture"] == f'"{machine}"'
    for name in ("iso_url", "disk_url", "amazon_image"):
        assert f"debian-{release}" in values[name]
        assert machine in values[name]
    for name in ("iso", "disk"):
        folder = values[f"{name}_url"].rsplit("/", 1)[0].strip('"')
        assert values[f"{name}_checksum"].startswith(f'"file:{folder}/SHA')
    assert ("digitalocean_image" in values) == (machine == "amd64")


def test_every_target_has_a_source_and_is_built() -> None:
    declared = re.findall(r'^source "([\w-]+)" "(\w+)"', text("sources.pkr.hcl"), re.MULTILINE)
    built = re.findall(r'^    "source\.([\w.-]+)",$', text("build.pkr.hcl"), re.MULTILINE)
    assert {".".join(names) for names in declared} == TARGETS
    assert sorted(built) == sorted(TARGETS)


def test_every_target_is_in_the_documentation() -> None:
    rows = re.findall(r"^\| `([\w.-]+)` \|", docs(), re.MULTILINE)
    assert sorted(rows) == sorted(TARGETS)


def test_every_type_of_target_has_its_plugin_pinned() -> None:
    pin = r'^    (\w+) = \{\n      source  = "[^"]+"\n      version = "~> \d'
    pins = re.findall(pin, text("plugins/plugins.pkr.hcl"), re.MULTILINE)
    assert set(pins) == {re.split(r"[.-]", target)[0] for target in TARGETS} | {"ansible"}


def test_conditions_name_targets_that_are_there() -> None:
    """Packer passes over a name that it does not know, and says nothing."""
    named = re.findall(r"^ +(?:only|except) += \[(.*)\]$", text("build.pkr.hcl"), re.MULTILINE)
    assert len(named) == len(re.findall(r"\b(?:only|except)\b +=", text("build.pkr.hcl")))
    assert {name.strip(' "') for names in named for name in names.split(",")} <= TARGETS


def test_installer_has_what_the_base_of_a_container_has() -> None:
    """But systemd, which every installed Debian has."""
    [base] = re.findall(r'^packages="(.*)"$', text("base-image.sh"), re.MULTILINE)
    [installed] = re.findall(r"^d-i pkgsel/include string (.*)$", text("http/debian.preseed"), re.MULTILINE)
    assert set(installed.split()) == set(base.split()) - {"systemd", "systemd-sysv"}


def test_installer_can_read_its_answers() -> None:
    file = TEMPLATE / "http/debian.preseed"
    done = subprocess.run(["debconf-set-selections", "--checkonly", file], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_installer_takes_the_key_from_the_command_line() -> None:
    [expression] = re.findall(r"sed -n '(.*)' /proc/cmdline", text("http/debian.preseed"))
    [installer] = re.findall(r"^  installer +=.*(domain= authorized_key=.*)\"$", text("sources.pkr.hcl"), re.MULTILINE)
    line = installer.replace("${local.key}", "AAAA/b+c") + "\n"
    found = subprocess.run(["sed", "-n", expression], input=line, capture_output=True, text=True, check=True)
    assert found.stdout == "ssh-ed25519 AAAA/b+c\n"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("name", "Web Server"),
        ("build_id", "a b"),
        ("ssh_private_key_file", "nowhere"),
        ("architecture", "x86_64"),
        ("output_directory", ""),
        ("cpus", "0"),
        ("memory", "100"),
        ("disk_size", "10.5"),
        ("iso_checksum", "none"),
        ("disk_checksum", "md5:0"),
        ("virtualbox_source", "machine.vmx"),
        ("vmware_source", "machine.ova"),
        ("qemu_accelerator", "fast"),
        ("qemu_firmware", ""),
        ("amazon_region", "Frankfurt"),
        ("amazon_image", ""),
        ("amazon_endpoint", "ec2.example.org"),
        ("digitalocean_region", "fra-1"),
    ],
)
def test_wrong_value_is_refused(packer: Path, variable: str, value: str) -> None:
    code, said = run("validate", f"-var={variable}={value}", "-only=docker.image")
    assert code == 1
    assert f"The {variable} must " in said
    assert "packer/variables.pkr.hcl:" in said


def test_key_that_is_not_ed25519_is_refused(packer: Path) -> None:
    Path("key.pub").write_text("ssh-rsa AAAA comment\n")
    code, said = run("validate", "-var=ssh_private_key_file=key", "-only=docker.image")
    assert code == 1
    assert "must be an ed25519 key" in said


def test_docker_needs_nothing_else(packer: Path) -> None:
    assert run("validate", "-only=docker.image")[0] == 0


@pytest.mark.parametrize("target", sorted(TARGETS - {"docker.image"}))
def test_without_a_key_no_other_target_starts(packer: Path, target: str) -> None:
    code, said = run("validate", f"-only={target}")
    assert code == 1
    assert "(set the variable ssh_private_key_file)" in said
    assert re.search(r"on packer/sources\.pkr\.hcl line \d+", said)


@pytest.mark.parametrize("target", sorted(AMD64_ONLY))
def test_target_without_that_architecture_is_refused(packer: Path, target: str) -> None:
    code, said = run("validate", f"-only={target}", "-var=architecture=arm64")
    assert code == 1
    assert 'var.architecture as "arm64"' in said
    assert re.search(r"on packer/sources\.pkr\.hcl line \d+", said)


@pytest.mark.parametrize(
    ("file", "old", "new", "found"),
    [
        ("build.pkr.hcl", "local.playbook\n", "local.playbok\n", "Unsupported attribute"),
        ("sources.pkr.hcl", "  commit = true\n", "  comit = true\n", "Unsupported argument"),
        ("sources.pkr.hcl", "var.base_image\n", "var.base_imag\n", "Unsupported attribute"),
    ],
)
def test_error_in_the_template_is_told_with_file_and_line(
    packer: Path, file: str, old: str, new: str, found: str
) -> None:
    template = packer / file
    whole = template.read_text()
    assert whole.count(old) == 1
    template.write_text(whole.replace(old, new))
    line = whole[: whole.index(old)].count("\n") + 1
    code, said = run("validate", "-only=docker.image")
    assert code == 1
    assert found in said
    assert re.search(rf"packer/{re.escape(file)}(:| line ){line}\b", said), said


def test_container_is_reached_without_ssh_and_no_hook_runs(packer: Path) -> None:
    code, said = run("build", "-only=docker.image", '-var=groups=["web"]', "-var=inventory_directory=inventory")
    assert code == 0, said
    log = Path("log").read_text()
    assert (
        "web-image ansible_connection=docker ansible_host=c0ffee ansible_user=root "
        "ansible_remote_tmp=/tmp/.ansible ansible_python_interpreter=/usr/bin/python3 "
        f"inventory_dir='{Path.cwd()}/inventory'\n"
    ) in log
    assert "--mount type=volume,source=goldsmith-packages,destination=/run/goldsmith-packages," in log
    assert log.endswith("docker tag sha256:abc goldsmith/web:latest\n")


def test_container_is_built_with_few_orders(packer: Path) -> None:
    """Each takes as long as a small task: to ask for Ansible's version, or to bring a script and take it away."""
    key = Path.cwd() / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    code, said = run("build", "-only=docker.image", f"-var=proxy_key={key}")
    assert code == 0, said
    log = Path("log").read_text().splitlines()
    assert [line for line in log if line.startswith(("docker exec", "docker cp"))] == ORDERS
    [ansible] = [line for line in log if line.startswith("ansible-playbook ")]
    assert "ansible_ssh_private_key_file" not in ansible  # no key was made


def test_orders_are_given_to_one_container_and_end_at_the_first_that_fails(packer: Path) -> None:
    """The settings of dpkg and apt, made before the roles and removed after them."""
    (packer.parent / "bin/docker").write_text(DOCKER.replace("  run)", "  exec) cat >>orders; exit 3 ;;\n  run)"))
    code, said = run("build", "-only=docker.image")
    assert code == 1
    assert "non-zero exit status: 3" in said
    assert "Executing Ansible" not in said
    orders = Path("orders").read_text()
    assert orders.startswith("until [ -S /run/systemd/private ]")
    assert subprocess.run(["sh", "-n"], input=orders, text=True, check=False).returncode == 0
    assert orders.index("force-unsafe-io") < orders.index("Dir::Cache::archives") < orders.index("\nEND\n")


def test_packages_are_not_kept_where_nobody_wants_it(packer: Path) -> None:
    code, said = run("build", "-only=docker.image", "-var=package_cache=")
    assert code == 0, said
    log = Path("log").read_text()
    assert "type=volume" not in log
    assert all(order in log for order in ORDERS)


def test_hooks_run_before_and_after_the_roles(packer: Path) -> None:
    for name in ("first", "second", "last"):
        Path(f"{name}.sh").write_text("#!/bin/sh\n")
    code, said = run(
        "build", "-only=docker.image", '-var=scripts_before=["first.sh", "second.sh"]', '-var=scripts_after=["last.sh"]'
    )
    assert code == 0, said
    assert re.findall(r"shell script: (?!/)(\w+)\.sh|(Provisioning with Ansible)", said) == [
        ("first", ""),
        ("second", ""),
        ("", "Provisioning with Ansible"),
        ("last", ""),
    ]
    # Once the machine has started: systemd empties /tmp meanwhile.
    assert said.index("shell script: /") < said.index("shell script: first.sh")
    assert "docker exec -i c0ffee /bin/sh -c (rm -f /var/tmp/script_" in Path("log").read_text()


def test_puppet_and_chef_run_before_the_roles_if_they_are_asked_for(packer: Path) -> None:
    """As docs/targets.md shows."""
    for folder in ("puppet/modules/web", "chef/cookbooks/web"):
        Path(folder).mkdir(parents=True)
    Path("puppet/site.pp").touch()
    options = re.findall(r"^  (-var '(?:puppet|chef)_.*) packer/$", docs(), re.MULTILINE)
    code, said = run("build", "-only=docker.image", *shlex.split(" ".join(options)))
    assert code == 0, said
    steps = re.findall(r"Provisioning with (Puppet|chef-solo|Ansible|shell)", said)
    assert steps == ["Puppet", "chef-solo", "shell", "Ansible"]  # what Chef worked with is removed
    log = Path("log").read_text()
    assert "puppet apply --detailed-exitcodes --modulepath='/var/tmp/packer-puppet/module-0' " in log
    assert "chef-solo --no-color -c /var/tmp/packer-chef/solo.rb -j /var/tmp/packer-chef/node.json" in log
    assert "sudo" not in log


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-var=puppet_manifest=nowhere.pp"], "manifest_file is invalid"),
        (['-var=chef_run_list=["recipe[web]"]', '-var=chef_cookbooks=["nowhere"]'], "Bad cookbook path 'nowhere'"),
    ],
)
def test_puppet_and_chef_are_looked_for_before_anything_starts(packer: Path, options: list[str], said: str) -> None:
    code, told = run("validate", "-only=docker.image", *options)
    assert code == 1
    assert said in told
