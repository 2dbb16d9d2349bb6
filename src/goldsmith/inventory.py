"""The standard Ansible inventory: which hosts there are, and how Ansible would reach one by SSH."""

from __future__ import annotations

import hashlib
import inspect
import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from goldsmith import files, place, proc
from goldsmith.errors import GoldsmithError, UsageError, nearest

SSH_FAILED = 255
"""ssh's own exit code for "no connection", as opposed to the remote command's."""
UNREACHABLE_EXIT = 4
"""Our own, where a host is unreachable and nothing else failed."""


@dataclass(frozen=True)
class Connection:
    """argv up to and with the host, the Python to run there, whether it takes sudo, and what keeps it open."""

    argv: tuple[str, ...]
    python: str
    become: bool
    socket: Path | None = None


@dataclass(frozen=True)
class Problem:
    """Why a host could not be reached, and what to do."""

    what: str
    hint: str


@dataclass(frozen=True)
class Reached:
    """Hosts that were selected, each with a connection that stays open; and the groups of all hosts, by host."""

    connections: dict[str, Connection]
    groups: dict[str, list[str]]


def prepare(root: Path) -> None:
    """Import what reads an inventory. Ansible's own modules read its configuration then, and take 0.2 s."""
    os.environ.update(place.ansible_environment(root))
    import ansible.inventory.manager  # noqa: PLC0415
    import ansible.playbook.play_context  # noqa: PLC0415
    import ansible.template  # noqa: PLC0415
    import ansible.vars.manager  # noqa: F401, PLC0415


def reached(source: Path, root: Path, limit: str) -> Reached:
    """How the hosts that an Ansible pattern selects, all if it is empty, are reached.

    Raises:
        UsageError: Ansible can't read the inventory, no host is selected, or one is not reached by SSH.
    """
    hosts = Inventory(source, root)
    return Reached({name: hosts.ssh(name, standing=True) for name in hosts.select(limit)}, hosts.groups_of_hosts())


class Inventory:
    """Reads the inventory as Ansible does, with its plugins, group_vars, host_vars and vault.

    It may have several sources, of which the last is the project's own.

    Raises:
        UsageError: Ansible can't read it.
    """

    def __init__(self, source: Path | Sequence[Path], root: Path) -> None:
        os.environ.update(place.ansible_environment(root))
        # Ansible's own modules read its configuration when they are imported, and take 0.3 s: only when needed.
        from ansible.errors import AnsibleError  # noqa: PLC0415
        from ansible.inventory.manager import InventoryManager  # noqa: PLC0415
        from ansible.parsing.dataloader import DataLoader  # noqa: PLC0415
        from ansible.plugins.loader import init_plugin_loader  # noqa: PLC0415
        from ansible.utils.collection_loader import AnsibleCollectionConfig  # noqa: PLC0415
        from ansible.vars.manager import VariableManager  # noqa: PLC0415

        sources = [source] if isinstance(source, Path) else list(source)
        self._source = ", ".join(map(str, sources))
        for each in sources:
            if not each.exists():
                raise UsageError(f"there is no inventory {each}", hint="set `inventory:` in goldsmith.yml")
        self._folder = next((each if each.is_dir() else each.parent for each in reversed(sources)), None)
        try:
            if AnsibleCollectionConfig.collection_finder is None:
                init_plugin_loader()
            self.loader = DataLoader()
            self.loader.set_basedir(str(root))
            self._hosts = InventoryManager(loader=self.loader, sources=list(map(str, sources)))
            self.manager = VariableManager(loader=self.loader, inventory=self._hosts)
        except AnsibleError as error:
            raise UsageError(
                f"inventory {self._source}: {error}", hint="`ansible-inventory --list` reads it too"
            ) from error

    def hosts(self, pattern: str = "all") -> list[str]:
        """Names of the hosts that an Ansible pattern selects, in the inventory's order."""
        return [host.name for host in self._hosts.get_hosts(pattern)]

    def select(self, limit: str) -> list[str]:
        """Names of the hosts that a pattern selects, all if it is empty.

        Raises:
            UsageError: it selects none; the hint lists all.
        """
        found = self.hosts(limit or "all")
        if not found:
            raise UsageError(
                f'no host matches "{limit}"' if limit else f"the inventory {self._source} has no host",
                hint=f"it has: {', '.join(self.hosts()) or 'none'}",
            )
        return found

    def raw(self, name: str) -> dict[str, Any]:
        """The host's variables as the inventory has them, templates not filled in."""
        found = dict(self.manager.get_vars(host=self._hosts.get_host(name), include_hostvars=True))
        if self._folder:  # of several sources the last is the project's
            found["inventory_dir"] = str(self._folder.resolve())
        return found

    def groups(self) -> list[str]:
        """Names of all groups."""
        return sorted(self._hosts.groups)

    def groups_of_hosts(self) -> dict[str, list[str]]:
        """Host -> names of the groups that it is in, itself or by their children."""
        return {host.name: [group.name for group in host.get_groups()] for host in self._hosts.get_hosts()}

    def require(self, name: str) -> None:
        """Check that there is such a host.

        Raises:
            UsageError: there is none; the hint names the nearest, or all.
        """
        known = self.hosts()
        if name not in known:
            raise UsageError(f'the inventory {self._source} has no host "{name}"', hint=nearest(name, known))

    def ssh(self, name: str, *, standing: bool = False) -> Connection:
        """How Ansible would reach the host: variables before environment before ansible.cfg before defaults. With
        `standing`, over a connection that stays open as long as Ansible's own (`ssh_args`, 60 s), and is used again.

        Raises:
            UsageError: there is no such host, or it is not reached by SSH.
        """
        from ansible.playbook.play_context import PlayContext  # noqa: PLC0415
        from ansible.plugins.loader import connection_loader  # noqa: PLC0415

        self.require(name)
        variables = self._resolved(name)
        kind = str(variables.get("ansible_connection", "ssh"))
        if kind.removeprefix("ansible.builtin.") not in {"ssh", "smart"}:
            raise UsageError(
                f"{name} is reached by {kind}, not by SSH", hint="docker:CONTAINER collects from a container"
            )
        plugin = connection_loader.get("ansible.builtin.ssh", PlayContext(), os.devnull)
        plugin.set_options(var_options=variables)
        found = connection(
            {key: plugin.get_option(key) for key in SSH_OPTIONS},
            python=str(variables.get("ansible_python_interpreter") or "python3"),
            become=bool(variables.get("ansible_become", True)),
        )
        if not standing:
            return found
        folder = Path(plugin.get_option("control_path_dir")).expanduser()
        with files.writable(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return kept_open(found, folder)

    def role_variables(self, name: str, role: Path) -> dict[str, Any]:
        """A role's variables as a play would see them on this host, as plain values.

        From low to high: the role's defaults, the inventory, the role's own vars. Left out are those whose template
        needs what only a running play knows. A host that the inventory doesn't have gets the defaults.
        """
        parts = [self._yaml(role / part / "main.yml") for part in ("defaults", "vars")]
        return self._templated({**parts[0], **self.raw(name), **parts[1]}, lambda _key: True, undefined=True)

    def resolved(self, name: str) -> dict[str, Any]:
        """All variables that the inventory gives a host, as plain values. Those whose template needs what only a
        running play knows stay templates. They may hold secrets."""
        raw = {key: value for key, value in self.raw(name).items() if key not in _OF_ANSIBLE}
        filled = self._templated(raw, lambda _key: True, undefined=True)
        return {**{str(key): _plain(value) for key, value in raw.items()}, **filled}

    def _yaml(self, path: Path) -> dict[str, Any]:
        if not path.is_file():
            return {}
        # Since ansible-core 2.19 a text is a template only where its origin is trusted, as a role's is.
        trusts = "trusted_as_template" in inspect.signature(self.loader.load_from_file).parameters
        trust = {"trusted_as_template": True} if trusts else {}
        return dict(self.loader.load_from_file(str(path), **trust) or {})

    def _resolved(self, name: str) -> dict[str, Any]:
        """The host's `ansible_*` variables, with their templates filled in."""
        found = self._templated(self.raw(name), lambda key: key.startswith("ansible_"))
        return {"inventory_hostname": name, **found}

    def _templated(
        self, variables: dict[str, Any], wanted: Callable[[str], bool], *, undefined: bool = False
    ) -> dict[str, Any]:
        """The wanted ones with their templates filled in; with `undefined` those that can't be are left out."""
        from ansible.errors import AnsibleError  # noqa: PLC0415
        from ansible.template import Templar  # noqa: PLC0415

        templar = Templar(loader=self.loader, variables=variables)
        found = {}
        for key in filter(wanted, variables):
            try:
                found[str(key)] = _plain(templar.template(variables[key]))
            except AnsibleError:
                if not undefined:
                    raise
        return found


_OF_ANSIBLE = frozenset({"ansible_playbook_python", "environment", "hostvars", "omit", "vars"})
"""What Ansible puts among a host's variables, and is another in each run, or everything once more."""


def _plain(value: Any) -> Any:
    """Without Ansible's own types, which are lazy and tagged."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(each) for each in value]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


SSH_OPTIONS = (
    "host",
    "port",
    "remote_user",
    "private_key_file",
    "ssh_executable",
    "ssh_args",
    "ssh_common_args",
    "ssh_extra_args",
    "host_key_checking",
    "timeout",
)
"""The options of Ansible's ssh plugin that say how to connect."""


def connection(options: dict[str, Any], *, python: str, become: bool) -> Connection:
    """ssh's argv from the plugin's options. Pure. Never asks: what needs a person fails with a reason."""
    user = options["remote_user"]
    argv = [str(options["ssh_executable"]), "-T", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={options['timeout']}"]
    argv += ["-o", "ServerAliveInterval=15"]  # a host that falls silent is given up after 45 s
    if not options["host_key_checking"]:
        argv += ["-o", "StrictHostKeyChecking=no"]
    if options["port"]:
        argv += ["-p", str(options["port"])]
    if user:
        argv += ["-l", str(user)]
    if options["private_key_file"]:
        argv += ["-i", os.path.expanduser(str(options["private_key_file"]))]  # noqa: PTH111 - a string, as ssh gets it
    for key in ("ssh_args", "ssh_common_args", "ssh_extra_args"):
        argv += shlex.split(str(options[key] or ""))
    first = python.split("{", 1)[0].strip()
    interpreter = "python3" if not first or first.startswith("auto") else first
    return Connection((*argv, str(options["host"])), interpreter, become and user != "root")


def kept_open(found: Connection, folder: Path) -> Connection:
    """The connection with a socket in the folder, over which the next one goes as long as it stands. Pure.

    It is named by all that ssh is told: another key or configuration is another connection. As with Ansible, nothing
    stays open where `ssh_args` has no ControlPersist, and a ControlPath there is used as it is.
    """
    told = " ".join(found.argv)
    if "ControlPersist" not in told or "ControlPath" in told:
        return found
    socket = folder / f"goldsmith-{hashlib.sha256(told.encode()).hexdigest()[:12]}"
    return replace(found, argv=(*found.argv[:-1], "-o", f"ControlPath={socket}", found.argv[-1]), socket=socket)


def close(folder: Path) -> None:
    """End the SSH connections that are kept open by sockets in a folder."""
    for socket in folder.glob("*"):
        end(socket)


def end(socket: Path) -> None:
    """End the SSH connection that a socket keeps open, dead or alive."""
    # ssh asks for a host's name, and makes nothing of it; it must look like one.
    proc.run(["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "localhost"], check=False)
    socket.unlink(missing_ok=True)


_PROBLEMS = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED",
        "its host key has changed",
        "if the machine was rebuilt, remove the old key (ssh-keygen -R HOST) and add the new one after checking its "
        "fingerprint; if not, somebody may be in between",
    ),
    (
        r"Host key verification failed|authenticity of host|No \w+ host key is known",
        "its host key is not known",
        "add it to known_hosts after checking its fingerprint (ssh-keyscan HOST)",
    ),
    (
        r"Permission denied|Too many authentication failures",
        "it refuses our key",
        "check ansible_user and ansible_ssh_private_key_file, and that the public key is in the user's authorized_keys",
    ),
    (
        r"Could not resolve hostname|Name or service not known",
        "its name has no address",
        "set ansible_host, or mend DNS",
    ),
    (r"Connection refused", "nothing listens on its SSH port", "is sshd running there, and ansible_port right?"),
    (
        r"timed out|No route to host|Network is unreachable",
        "it gives no answer",
        "is it up, and the network between open?",
    ),
    (r"UNPROTECTED PRIVATE KEY|bad permissions", "ssh rejects the key file's permissions", "chmod 600 the key file"),
)


def explain(said: str) -> Problem:
    """What ssh's words mean for the person who reads them. Pure."""
    for pattern, what, hint in _PROBLEMS:
        if re.search(pattern, said, re.IGNORECASE):
            return Problem(what, hint)
    last = [line for line in said.strip().splitlines() if line.strip()][-1:]
    return Problem(last[0].strip() if last else "ssh gave no reason", "try it by hand: ssh HOST")


def unreachable(name: str, said: str) -> GoldsmithError:
    """The error of a host that ssh did not reach, by ssh's words. Pure."""
    problem = explain(said)
    return GoldsmithError(f"{name} is unreachable: {problem.what}", hint=problem.hint, exit_code=UNREACHABLE_EXIT)
