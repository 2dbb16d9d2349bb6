"""Live hosts on this machine, for the demo and the tests: containers with systemd and sshd, reached over SSH.

They start from the same bare base as an image does. Each has its own host keys and machine id; the controller's
key lies in root's authorized_keys, as a cloud or an installer would put it.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from goldsmith import docker, proc

_LABS = itertools.count(1)


class Lab:
    """Hosts by name, and an ssh_config that reaches them. A context manager: it leaves nothing behind."""

    def __init__(self, folder: Path, image: str, names: Sequence[str]) -> None:
        self.folder = folder
        self.image = image
        self.names = tuple(names)
        self.number = next(_LABS)
        self.ssh_config = folder / "ssh_config"
        self.known_hosts = folder / "known_hosts"
        self.key = folder / "id_ed25519"

    def container(self, name: str) -> str:
        """The container's name: this lab's own, whatever a killed run, or one in another clone, has there."""
        return f"goldsmith-lab-{os.getpid()}-{self.number}-{name}"

    def __enter__(self) -> Lab:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            if not self.key.exists():
                proc.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "goldsmith lab", "-f", str(self.key)])
            for name in self.names:
                self.start(name)
            self.write()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def environment(self) -> dict[str, str]:
        """For Ansible: the ssh_config that knows the hosts."""
        return {"ANSIBLE_SSH_COMMON_ARGS": f"-F {self.ssh_config}"}

    def start(self, name: str) -> None:
        """Start one host from the bare base: host keys, the controller's key, sshd."""
        container = self.container(name)
        docker.boot(container, self.image, owner="lab")
        self.execute(
            name,
            "install -d -m 700 /root/.ssh && cat > /root/.ssh/authorized_keys && chmod 600 /root/.ssh/*"
            " && ssh-keygen -A -q && systemctl reset-failed ssh && systemctl restart ssh",
            stdin=self.key.with_suffix(".pub").read_bytes(),
        )

    def write(self) -> None:
        """Write ssh_config and known_hosts for the hosts as they are now."""
        blocks, known = [], []
        for name in self.names:
            form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
            address = proc.run(["docker", "inspect", "--format", form, self.container(name)]).text
            blocks.append(f"Host {name}\n  HostName {address}\n")
            known.append(f"{address} {self.execute(name, 'cat /etc/ssh/ssh_host_ed25519_key.pub').text}\n")
        common = (
            f"Host *\n  User root\n  IdentityFile {self.key}\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {self.known_hosts}\n  StrictHostKeyChecking yes\n  UpdateHostKeys no\n"
        )
        self.ssh_config.write_text("".join(blocks) + common)
        self.known_hosts.write_text("".join(known))

    def execute(self, name: str, script: str, *, stdin: bytes = b"") -> proc.Completed:
        """Run a shell script in the host, past SSH: what somebody does by hand at the console."""
        return proc.run(["docker", "exec", "--interactive", self.container(name), "sh", "-c", script], stdin=stdin)

    def close(self) -> None:
        """Remove the hosts."""
        with proc.uninterrupted():
            proc.run(["docker", "rm", "--force", "--volumes", *map(self.container, self.names)], check=False)
