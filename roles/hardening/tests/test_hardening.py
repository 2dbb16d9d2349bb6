"""The role hardening."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

INTERNAL = yaml.safe_load((Path(__file__).parents[1] / "vars" / "main.yml").read_text(encoding="utf-8"))
KERNEL = "what a kernel has in force is the container's host's"

# A client of PAM, as login is one: it gives the answers in turn, and prints what each step returned and was told.
PAM = """
import ctypes, json, os, sys
service, user, steps, answers, uid = sys.argv[1:]
steps, answers, uid = steps.split(), json.loads(answers), int(uid)
pam, libc = ctypes.CDLL("libpam.so.0"), ctypes.CDLL("libc.so.6")
libc.strdup.argtypes, libc.strdup.restype = [ctypes.c_char_p], ctypes.c_void_p
libc.calloc.restype = ctypes.c_void_p
class Message(ctypes.Structure):
    _fields_ = [("style", ctypes.c_int), ("text", ctypes.c_char_p)]
class Response(ctypes.Structure):
    _fields_ = [("text", ctypes.c_void_p), ("code", ctypes.c_int)]
Talk = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.POINTER(ctypes.POINTER(Message)),
                        ctypes.POINTER(ctypes.c_void_p), ctypes.c_void_p)
Delay = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p)
said = []
def talk(count, messages, responses, data):
    block = libc.calloc(count, ctypes.sizeof(Response))
    responses[0] = block
    for i in range(count):
        said.append(messages[i].contents.text.decode())
        if messages[i].contents.style in (1, 2):
            slot = Response.from_address(block + i * ctypes.sizeof(Response))
            slot.text = libc.strdup((answers.pop(0) if answers else "").encode())
    return 0
class Conversation(ctypes.Structure):
    _fields_ = [("talk", Talk), ("data", ctypes.c_void_p)]
conversation, delay = Conversation(Talk(talk), None), Delay(lambda *_: None)
handle = ctypes.c_void_p()
assert pam.pam_start(service.encode(), user.encode(), ctypes.byref(conversation), ctypes.byref(handle)) == 0
pam.pam_set_item(handle, 10, ctypes.cast(delay, ctypes.c_void_p))
os.setresuid(uid, 0, 0)
codes = [getattr(pam, "pam_" + step)(handle, 0) for step in steps]
print(json.dumps([codes, said]))
"""
SUCCESS = 0
GOOD, BETTER = "Quartz-7-Lantern-Vow", "Meadow-4-Copper-Hinge"
USER, OTHER = "goldsmith-test", "goldsmith-test2"


def settings_in(text: str) -> dict[str, str]:
    """KEY = VALUE, or a word alone."""
    pairs = [line.partition("=") for line in text.splitlines() if line and not line.startswith("#")]
    return {key.strip(): value.strip() for key, _sign, value in pairs}


def as_written(values: dict[str, Any]) -> dict[str, str]:
    return {key: "" if value is None else str(value) for key, value in values.items()}


def pam(
    host: Any, steps: str, *answers: str, user: str = USER, service: str = "login", uid: int = 0
) -> tuple[list[int], list[str]]:
    done = host.check_output(
        "/usr/bin/python3 -c %s %s %s %s %s %s", PAM, service, user, steps, json.dumps(answers), str(uid)
    )
    codes, said = json.loads(done)
    return codes, said


@pytest.fixture
def user(host: Any, variables: dict[str, Any]) -> Any:
    """A person with a password, who is in the group that may use su."""
    group = variables["hardening_su_group"] or "users"
    host.check_output("useradd --create-home --shell /bin/sh --groups %s %s", group, USER)
    host.check_output("printf '%%s:%%s\n' %s %s | chpasswd", USER, GOOD)
    # A day must go by between two changes.
    host.check_output("chage --lastday 2020-01-01 %s", USER)
    yield USER
    host.run("faillock --user %s --reset", USER)
    host.check_output("userdel --force --remove %s 2>&1", USER)
    host.run("sed -i '/^%s:/d' /etc/security/opasswd", USER)


# Kernel


def kernel_settings(variables: dict[str, Any]) -> dict[str, str]:
    wanted: dict[str, Any] = {}
    for group in ("kernel", "network"):
        wanted |= INTERNAL[f"_hardening_{group}"] if variables[f"hardening_{group}"] else {}
    wanted |= variables["hardening_sysctl"]
    return {key: str(value) for key, value in wanted.items() if value is not None}


def test_kernel_settings_are_the_last_word_but_for_others_after_them(host: Any, variables: dict[str, Any]) -> None:
    text = host.check_output("/lib/systemd/systemd-sysctl --cat-config")
    own = re.search(r"^# /etc/sysctl.d/80-goldsmith-hardening.conf$(.*?)(^# /|\Z)", text, re.MULTILINE | re.DOTALL)
    assert own
    assert settings_in(own[1]) == kernel_settings(variables)
    # What procps says of links is not read.
    if variables["hardening_kernel"]:
        assert "/usr/lib/sysctl.d/99-protect-links.conf" not in text
    else:
        assert not host.file("/etc/sysctl.d/99-protect-links.conf").is_symlink


@pytest.mark.not_in_container(KERNEL)
def test_kernel_settings_are_in_force(host: Any, variables: dict[str, Any]) -> None:
    text = host.check_output("/lib/systemd/systemd-sysctl --cat-config")
    last = {key.lstrip("-"): value for key, value in settings_in(text).items()}
    found = {key: host.run("cat /proc/sys/%s", key.replace(".", "/")) for key in kernel_settings(variables)}
    # A kernel may lack one that is built out of it.
    assert {key: r.stdout.strip() for key, r in found.items() if r.rc == 0} == {
        key: last[key] for key, r in found.items() if r.rc == 0
    }


def refused_modules(variables: dict[str, Any]) -> set[str]:
    groups = {
        "filesystems": {"cramfs", "freevxfs", "hfs", "hfsplus", "jffs2"},
        "protocols": {"dccp", "rds", "sctp", "tipc"},
        "storage": {"firewire-core", "firewire-ohci", "firewire-sbp2", "usb-storage"},
    }
    wanted = {
        module for name, modules in groups.items() if variables[f"hardening_modules_{name}"] for module in modules
    }
    return (wanted | set(variables["hardening_modules_denied"])) - set(variables["hardening_modules_allowed"])


def test_modules_are_refused_on_disk(host: Any, variables: dict[str, Any]) -> None:
    file = host.file("/etc/modprobe.d/goldsmith-hardening.conf")
    lines = [line for line in file.content_string.splitlines() if line and not line.startswith("#")]
    assert sorted(lines) == sorted(
        line
        for module in refused_modules(variables)
        for line in (f"blacklist {module}", f"install {module} /bin/false")
    )
    assert (file.user, file.mode, host.file("/etc/modprobe.d").mode) == ("root", 0o644, 0o755)


@pytest.mark.not_in_container(KERNEL)
def test_modules_cannot_be_loaded(host: Any, variables: dict[str, Any]) -> None:
    for module in refused_modules(variables):
        if host.run("modinfo %s", module).rc == 0:
            assert host.run("modprobe %s", module).rc != 0, module


def test_apparmor_is_enabled(host: Any, variables: dict[str, Any]) -> None:
    if not variables["hardening_apparmor"]:
        pytest.skip("not wanted on this machine")
    assert host.check_output("systemctl is-enabled apparmor.service") == "enabled"


@pytest.mark.not_in_container(KERNEL)
def test_apparmor_has_profiles_in_force(host: Any, variables: dict[str, Any]) -> None:
    if variables["hardening_apparmor"]:
        assert host.file("/sys/module/apparmor/parameters/enabled").content_string.strip() == "Y"
        assert host.check_output("systemctl is-active apparmor.service") == "active"


# File systems


def options_of(host: Any, path: str) -> set[str]:
    return set(host.check_output("findmnt --noheadings --output OPTIONS --mountpoint %s | tail -n 1", path).split(","))


def test_tmp_is_mounted_at_the_next_boot(host: Any, variables: dict[str, Any]) -> None:
    if not variables["hardening_tmp"]:
        assert not host.file("/etc/systemd/system/tmp.mount").exists
        assert not host.file("/etc/apt/apt.conf.d/60goldsmith-hardening").exists
        return
    assert host.check_output("systemctl is-enabled tmp.mount") == "enabled"
    unit = settings_in(host.file("/etc/systemd/system/tmp.mount").content_string)
    assert unit["Options"] == variables["hardening_tmp_options"].replace("%", "%%")
    assert unit["ConditionPathExists"] == "!/run/goldsmith-tmp-at-next-boot"
    if host.run("mountpoint -q /tmp").rc:
        # A service with a /tmp of its own asks for the mount.
        host.check_output("systemd-run --quiet --wait --property=PrivateTmp=yes true")
        assert host.run("mountpoint -q /tmp").rc != 0
    # What debconf runs, it does not run there.
    assert host.check_output("apt-config dump APT::ExtractTemplates::TempDir").endswith('"/var/lib/apt";')


def test_nothing_runs_from_tmp_where_it_is_mounted(host: Any, variables: dict[str, Any]) -> None:
    if "noexec" not in variables["hardening_tmp_options"] or host.run("mountpoint -q /tmp").rc:
        pytest.skip("it is not mounted before the next boot")
    program = "/tmp/goldsmith-test"  # noqa: S108 - that is what is tested
    try:
        assert host.run("cp /bin/true %s && %s", program, program).rc == 126
    finally:
        host.check_output("rm -f %s", program)


def test_mounts_have_their_options_now_and_after_a_boot(host: Any, variables: dict[str, Any]) -> None:
    assert host.check_output("systemctl is-enabled goldsmith-mount-options.service") == "enabled"
    assert host.check_output("systemctl is-active goldsmith-mount-options.service") == "active"
    mounted = {
        path: options
        for path, options in variables["hardening_mount_options"].items()
        if host.run("mountpoint -q %s", path).rc == 0
    }
    assert "/dev/shm" in mounted or not variables["hardening_mount_options"]  # noqa: S108 - a name of a mount
    for path, options in mounted.items():
        assert set(options.split(",")) <= options_of(host, path), path


def test_mount_options_are_set_again_where_somebody_took_them(host: Any, variables: dict[str, Any]) -> None:
    path = "/dev/shm"  # noqa: S108 - a name of a mount
    if "noexec" not in variables["hardening_mount_options"].get(path, ""):
        pytest.skip("not wanted on this machine")
    if host.run("mount -o remount,exec %s", path).rc:
        pytest.skip("nothing may be remounted here")
    host.check_output("systemctl restart goldsmith-mount-options.service")
    assert "noexec" in options_of(host, path)


def test_sensitive_files_have_their_modes(host: Any, variables: dict[str, Any]) -> None:
    wanted = (INTERNAL["_hardening_permissions"] if variables["hardening_permissions"] else {}) | variables[
        "hardening_permissions_modes"
    ]
    found = {path: oct(host.file(path).mode) for path in wanted if host.file(path).exists}
    assert found == {path: oct(int(wanted[path], 8)) for path in found}
    assert found or not wanted


# Passwords and logins


def test_weak_and_former_passwords_are_refused_and_good_ones_taken(
    host: Any, variables: dict[str, Any], user: str
) -> None:
    uid = int(host.check_output("id -u %s", user))

    def change(old: str, new: str) -> tuple[int, str]:
        codes, said = pam(host, "chauthtok", old, new, new, service="passwd", uid=uid)
        return codes[0], "\n".join(said)

    if variables["hardening_password_quality"]:
        code, said = change(GOOD, "Sh0rt-1")
        assert code != SUCCESS
        assert "BAD PASSWORD" in said
    code, said = change(GOOD, BETTER)
    assert code == SUCCESS, said
    if variables["hardening_password_history"]:
        host.check_output("chage --lastday 2020-01-01 %s", user)
        code, said = change(BETTER, GOOD)
        assert code != SUCCESS
        assert "already used" in said
        assert (
            f"remember={variables['hardening_password_history']} "
            in host.file("/etc/pam.d/common-password").content_string
        )


def test_password_rules_are_those_that_are_wanted(host: Any, variables: dict[str, Any]) -> None:
    file = host.file("/etc/security/pwquality.conf.d/goldsmith.conf")
    if not variables["hardening_password_quality"]:
        assert not file.exists
        return
    assert settings_in(file.content_string) == as_written(variables["hardening_password_quality_settings"])
    assert (file.mode, host.file("/etc/security/pwquality.conf.d").mode) == (0o644, 0o755)


def test_failed_logins_lock_the_password_and_no_other_account(host: Any, variables: dict[str, Any], user: str) -> None:
    login = "authenticate acct_mgmt"
    assert pam(host, login, GOOD)[0] == [SUCCESS, SUCCESS]
    if not variables["hardening_faillock"]:
        assert not host.file("/etc/security/goldsmith-faillock.conf").exists
        return
    values = settings_in(host.file("/etc/security/goldsmith-faillock.conf").content_string)
    assert values == {"silent": "", **as_written(variables["hardening_faillock_settings"])}
    for _try in range(int(variables["hardening_faillock_settings"].get("deny", 3))):
        assert pam(host, "authenticate", "wrong")[0] != [SUCCESS]
    assert pam(host, "authenticate", GOOD)[0] != [SUCCESS]
    # A key asks for no password: such a login goes on to the account, and there nothing is locked.
    assert pam(host, "acct_mgmt", service="sshd")[0] == [SUCCESS]
    assert pam(host, "acct_mgmt", user="root", service="sshd")[0] == [SUCCESS]


def test_successful_login_forgets_failed_ones(host: Any, variables: dict[str, Any], user: str) -> None:
    if not variables["hardening_faillock"]:
        pytest.skip("accounts are not locked on this machine")
    counted = re.compile(r"\sV$", re.MULTILINE)
    assert pam(host, "authenticate", "wrong")[0] != [SUCCESS]
    assert counted.search(host.check_output("faillock --user %s", user))
    assert pam(host, "authenticate acct_mgmt", GOOD)[0] == [SUCCESS, SUCCESS]
    assert not counted.search(host.check_output("faillock --user %s", user))


def test_new_accounts_and_passwords_follow_login_defs(host: Any, variables: dict[str, Any], user: str) -> None:
    lines = host.file("/etc/login.defs").content_string.splitlines()
    found = {
        words[0]: words[1:] for words in (line.split() for line in lines if line and not line.startswith("#")) if words
    }
    for key, value in variables["hardening_login_defs"].items():
        assert found[key] == [str(value)]
    days = host.check_output("getent shadow %s", user).split(":")[3]
    assert days == found["PASS_MIN_DAYS"][0]
    if "HOME_MODE" in found:
        assert oct(host.file(f"/home/{user}").mode) == oct(int(found["HOME_MODE"][0], 8))


def test_people_keep_new_files_from_others_and_root_does_not(host: Any, variables: dict[str, Any], user: str) -> None:
    umask = variables["hardening_umask"]
    if not umask:
        pytest.skip("not wanted on this machine")
    assert int(host.check_output("su %s -c umask", user), 8) == int(umask, 8)
    assert int(host.check_output("su root -c umask"), 8) == 0o022
    assert f"UMASK {umask}" in host.file("/etc/login.defs").content_string.splitlines()


def test_su_is_for_its_group_only(host: Any, variables: dict[str, Any], user: str) -> None:
    if not variables["hardening_su_group"]:
        assert not host.file("/etc/pam.d/su").contains("^auth.*required.*pam_wheel.so")
        return
    become = "setpriv --reuid=%s --regid=%s --init-groups sh -c 'echo %s | su %s -c id'"
    host.check_output("useradd --no-create-home --shell /bin/sh %s", OTHER)
    host.check_output("printf '%%s:%%s\n' %s %s | chpasswd", OTHER, GOOD)
    try:
        assert OTHER in host.run(become % (user, user, GOOD, OTHER)).stdout
        assert host.run(become % (OTHER, OTHER, GOOD, user)).rc != 0
        # Root may always.
        assert user in host.check_output("su %s -c id", user)
    finally:
        host.run("faillock --user %s --reset", OTHER)
        host.check_output("userdel --force %s 2>&1", OTHER)
        host.run("sed -i '/^%s:/d' /etc/security/opasswd", OTHER)


# Shells and what people are told


def test_idle_login_shells_end_and_nothing_changes_that(host: Any, variables: dict[str, Any]) -> None:
    wanted = variables["hardening_shell_timeout"]
    said = host.run("bash --login -c 'echo ${TMOUT:-0}; TMOUT=1; echo $TMOUT'")
    assert said.stdout.split()[0] == str(wanted)
    if wanted:
        assert "readonly" in said.stderr
    # A shell that reads it twice goes on.
    assert host.check_output("sh -c '. /etc/profile; . /etc/profile; echo on'") == "on"


def test_programs_cannot_dump_core(host: Any, variables: dict[str, Any], user: str) -> None:
    if not variables["hardening_no_core_dumps"]:
        assert not host.file("/etc/security/limits.d/goldsmith.conf").exists
        return
    assert host.check_output("su %s -c 'ulimit -H -c'", user) == "0"
    assert host.check_output("systemctl show --property=DefaultLimitCORE --value") == "0"
    assert "Storage=none" in host.check_output("systemd-analyze cat-config systemd/coredump.conf").splitlines()
    assert host.check_output("bash --login -c 'ulimit -S -c'") == "0"


def test_a_warning_is_shown_before_a_login(host: Any, variables: dict[str, Any]) -> None:
    for path in ("/etc/issue", "/etc/issue.net"):
        if variables["hardening_banner"]:
            assert host.file(path).content_string == variables["hardening_banner"]


# Logins by SSH


def test_ssh_daemon_is_restricted(host: Any, variables: dict[str, Any]) -> None:
    if not host.file("/usr/sbin/sshd").exists:
        pytest.skip("there is no SSH daemon on this machine")
    first = (
        host.run("sed -n 's/^\\([A-Za-z]*\\) .*/\\1/p' /etc/ssh/sshd_config.d/00-goldsmith.conf").stdout.lower().split()
    )
    # With a key for the test alone: this machine may have none yet.
    shell = (
        "mkdir -p -m 0755 /run/sshd; d=$(mktemp -d) && ssh-keygen -q -t ed25519 -N '' -f $d/key && sshd -T -h $d/key; "
        "r=$?; rm -rf $d; exit $r"
    )
    in_force = dict(line.partition(" ")[::2] for line in host.check_output(shell).splitlines())
    for key, value in variables["hardening_ssh_settings"].items():
        if key.lower() not in first:
            wanted = ("yes" if value else "no") if isinstance(value, bool) else str(value)
            assert in_force[key.lower()] == wanted, key


def test_fail2ban_watches_ssh_and_shuts_out(host: Any, variables: dict[str, Any]) -> None:
    if not variables["hardening_fail2ban"]:
        assert not host.file("/etc/fail2ban/fail2ban.d/goldsmith.local").exists
        return
    assert host.check_output("systemctl is-enabled fail2ban.service") == "enabled"
    assert host.check_output("systemctl is-active fail2ban.service") == "active"
    # The daemon's unit has another name in each release of fail2ban; the process keeps its own.
    assert "_COMM=sshd" in host.check_output("fail2ban-client get sshd journalmatch")
    asked = variables["hardening_fail2ban_settings"]
    if "maxretry" in asked:
        assert host.check_output("fail2ban-client get sshd maxretry") == str(asked["maxretry"])
    assert "None" in host.check_output("fail2ban-client get dbfile") or ":memory:" in host.check_output(
        "fail2ban-client get dbfile"
    )
    shut_out = "192.0.2.99"
    host.check_output("fail2ban-client set sshd banip %s", shut_out)
    try:
        assert shut_out in host.check_output("nft list ruleset")
    finally:
        host.check_output("fail2ban-client set sshd unbanip %s", shut_out)


# Audit


def test_audit_daemon_is_enabled_with_its_rules(host: Any, variables: dict[str, Any]) -> None:
    if not variables["hardening_audit"]:
        assert not host.file("/etc/audit/rules.d/50-goldsmith.rules").exists
        return
    assert host.check_output("systemctl is-enabled auditd.service") == "enabled"
    # Where it may not run it is passed over, and is no failed unit.
    assert host.run("systemctl is-failed auditd.service").stdout.strip() != "failed"
    rules = host.file("/etc/audit/rules.d/50-goldsmith.rules")
    assert rules.mode == 0o640
    wanted = [
        rule for group in variables["hardening_audit_groups"] for rule in INTERNAL["_hardening_audit_groups"][group]
    ]
    wanted += variables["hardening_audit_rules"] + (["-e 2"] if variables["hardening_audit_immutable"] else [])
    assert [line for line in rules.content_string.splitlines() if line and line[0] != "#"] == wanted
    # The daemon reads what augenrules makes of them.
    compiled = host.file("/etc/audit/audit.rules").content_string.splitlines()
    assert [rule for rule in wanted if rule not in compiled] == []
    settings = settings_in(host.file("/etc/audit/auditd.conf").content_string)
    for key, value in variables["hardening_audit_settings"].items():
        assert settings[key] == str(value)


@pytest.mark.not_in_container("a container has no audit of its own")
def test_audit_rules_are_in_force_and_record(host: Any, variables: dict[str, Any]) -> None:
    if not variables["hardening_audit"]:
        pytest.skip("not wanted on this machine")
    assert host.check_output("systemctl is-active auditd.service") == "active"
    loaded = host.check_output("auditctl -l")
    for group in variables["hardening_audit_groups"]:
        assert f"key={group}" in loaded or f"-k {group}" in loaded
    if "identity" in variables["hardening_audit_groups"]:
        host.check_output("touch /etc/group")
        found = host.run(
            "for i in $(seq 50); do ausearch --input-logs -k identity -ts recent -i && exit 0; sleep 0.1; done; exit 1"
        )
        assert "/etc/group" in found.stdout
    status = host.check_output("auditctl -s").splitlines()
    assert f"enabled {2 if variables['hardening_audit_immutable'] else 1}" in status


# Services


def test_units_that_nobody_may_start_are_masked(host: Any, variables: dict[str, Any]) -> None:
    for unit in variables["hardening_units_masked"]:
        assert host.run("systemctl is-enabled %s", unit).stdout.strip() == "masked", unit


def test_unwanted_packages_are_not_installed(host: Any, variables: dict[str, Any]) -> None:
    assert [name for name in variables["hardening_packages_absent"] if host.package(name).is_installed] == []
