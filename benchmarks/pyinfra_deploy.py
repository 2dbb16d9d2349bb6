"""Nearly what the example's definition does, as a deploy of pyinfra. drift_fleet.py runs it, on hosts that are done.

What the definition writes lies in a folder, as it is on such a host (`--data written=FOLDER`), so that nothing is to be
changed. Left out are the application's own contents, assertions, and what the roles ask a host between two tasks: that
makes it faster than it would be.
"""

from pathlib import Path

from pyinfra import host
from pyinfra.operations import apt, files, server, systemd

PACKAGES = [
    ["ca-certificates", "less", "locales", "tzdata"],
    ["logrotate"],
    ["sudo"],
    ["openssh-server"],
    ["chrony"],
    ["python3-pip-whl"],
    ["nginx"],
]
FOLDERS = ["/etc/goldsmith", "/etc/systemd/journald.conf.d", "/opt/hello", "/opt/hello/releases"]
ABSENT = [
    "/etc/logrotate.d/goldsmith",
    "/etc/rsyslog.d/99-goldsmith.conf",
    "/etc/systemd/journald.conf.d/90-goldsmith.conf",
    "/etc/systemd/journald.conf.d/91-goldsmith-logging.conf",
    "/etc/systemd/system/goldsmith-host-keys.service",
]
SERVICES = ["goldsmith-first-boot.service", "logrotate.timer", "ssh.service", "hello.service", "nginx.service"]

for names in PACKAGES:
    apt.packages(packages=names, no_recommends=True)
server.locale(locale="en_GB.UTF-8")
for user in ("ops", "guest"):
    server.group(group=user)
    server.user(user=user)
server.user(user="hello", system=True, ensure_home=False)
for folder in FOLDERS:
    files.directory(path=folder)
root = Path(host.data.written)
for path in sorted(root.rglob("*")):
    place = f"/{path.relative_to(root)}"
    if path.is_symlink():
        files.link(path=place, target=str(path.readlink()))
    elif path.is_file():
        files.put(src=str(path), dest=place, user="root", group="root", mode=f"{path.stat().st_mode & 0o777:o}")
for absent in ABSENT:
    files.file(path=absent, present=False)
for service in SERVICES:
    systemd.service(service=service, running=True, enabled=True)
systemd.service(service="chrony.service", enabled=True, running=None)
