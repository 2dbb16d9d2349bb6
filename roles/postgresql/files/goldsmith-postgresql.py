"""Makes the PostgreSQL cluster `main` and what it must hold. Laid down by Goldsmith on images and on live hosts alike.

An image carries no data: each machine makes its own cluster at its first boot, with the users, databases and extensions
of /etc/goldsmith/postgresql.json. Nothing that is there is ever dropped.

    goldsmith-postgresql cluster VERSION          make the cluster, or what is missing of it, unless it is there
    goldsmith-postgresql first VERSION            the first time: make users, databases, extensions
    goldsmith-postgresql apply [--check] VERSION  make or change them, and name what was done
    goldsmith-postgresql settle VERSION           have settings take effect: reload, and restart only if that is needed
    goldsmith-postgresql test-settings VERSION FILE
    goldsmith-postgresql test-hba VERSION FILE    are these sound? The server in use is not touched
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DECLARED = Path("/etc/goldsmith/postgresql.json")
AS_POSTGRES = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"]
NEW, SET_UP = "new\n", "set up\n"


def run(*argv: str, stdin: str = "", quiet: bool = False) -> str:
    """What a program says; its failure ends this one with its words."""
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, cwd="/")
    if done.returncode:
        raise SystemExit(f"{argv[argv.index('--') + 1] if '--' in argv else argv[0]}: {done.stderr or done.stdout}")
    if not quiet:
        sys.stderr.write(done.stderr)
    return done.stdout


def declared() -> dict:
    return json.loads(DECLARED.read_text(encoding="utf-8"))


class Cluster:
    """The cluster `main` of one version."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.programs = Path("/usr/lib/postgresql", version, "bin")
        self.config = Path("/etc/postgresql", version, "main")
        self.unit = f"postgresql@{version}-main.service"
        # Not with the data: it says that there must be some, when a disk is missing.
        self.mark = Path("/var/lib/goldsmith", f"postgresql-{version}-main")

    def setting(self, name: str) -> str:
        return run("pg_conftool", "--short", self.version, "main", "show", name).strip()

    @property
    def data(self) -> Path:
        configured = (self.config / "postgresql.conf").exists()
        return Path(self.setting("data_directory") if configured else f"/var/lib/postgresql/{self.version}/main")

    def note(self, state: str) -> None:
        self.mark.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        new = self.mark.with_suffix(".new")
        new.write_text(state, encoding="utf-8")
        new.chmod(0o644)
        new.rename(self.mark)

    # The cluster

    def make(self) -> None:
        made = [*make_certificate(), *self._make_data(), *self._make_config()]
        if not self.mark.exists():
            self.note(NEW)
        print("\n".join(made), end="\n" if made else "")

    def _make_data(self) -> list[str]:
        """Whole, or not at all."""
        data = self.data
        if (data / "PG_VERSION").exists():
            return []
        if self.mark.exists():
            raise SystemExit(
                f"{data} holds no data, and it once did. Is a disk missing? Bring the data back. If it is to be a new, "
                f"empty cluster, remove {self.mark} first."
            )
        if data.is_dir():
            data.rmdir()
        new = data.with_name(f"{data.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        run("install", "-d", "-o", "postgres", "-g", "postgres", str(data.parent))
        arguments = ["--auth-local=peer", "--auth-host=scram-sha-256", "--no-instructions", "--data-checksums"]
        arguments += ["--encoding=UTF8", f"--locale={declared()['locale']}", f"--pgdata={new}"]
        run(*AS_POSTGRES, str(self.programs / "initdb"), *arguments)
        if (self.config / "postgresql.conf").exists():
            for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf"):
                (new / name).unlink()
        new.rename(data)
        return [f"data {data}"]

    def _make_config(self) -> list[str]:
        """Debian's own program takes in data that is there. Packages in use must not be removed as unused."""
        if (self.config / "postgresql.conf").exists():
            return []
        run("pg_createcluster", "--user=postgres", "--no-status", "--port=5432", self.version, "main")
        run("/usr/share/postgresql-common/pg_updateaptconfig")
        if Path("/run/systemd/system").exists():
            run("systemctl", "daemon-reload")
        return [f"configuration {self.config}"]

    # Settings

    def test_settings(self, candidate: str) -> None:
        with scratch(candidate) as folder:
            ask = ["-C", "data_directory", "-D", folder, f"--config-file={folder}/candidate"]
            run(*AS_POSTGRES, str(self.programs / "postgres"), *ask, quiet=True)

    def test_hba(self, candidate: str) -> None:
        """PostgreSQL judges such a file only from within a server: there is one for a moment, that nobody reaches."""
        with scratch(candidate) as folder:
            data = f"{folder}/data"
            run(*AS_POSTGRES, str(self.programs / "initdb"), "--no-sync", "--no-instructions", "-A", "peer", "-D", data)
            ask = (
                "select 'wrong: line ' || line_number || ': ' || error from pg_hba_file_rules where error is not null\n"
            )
            argv = [str(self.programs / "postgres"), "--single", "-D", data, "-c", f"hba_file={folder}/candidate"]
            said = run(
                *AS_POSTGRES, *argv, "-c", "ssl=on", "-c", "shared_buffers=1MB", "postgres", stdin=ask, quiet=True
            )
            wrong = [line.partition('"')[2].rpartition('"')[0] for line in said.splitlines() if "wrong: " in line]
            if wrong or "typeid" not in said:
                raise SystemExit("\n".join(wrong) or said)

    def settle(self) -> None:
        before = self.ask("select pg_conf_load_time()")
        run("systemctl", "reload", self.unit)
        deadline = time.monotonic() + 30
        while self.ask("select pg_conf_load_time()") == before:
            if time.monotonic() > deadline:
                raise SystemExit("the server did not read its settings again")
            time.sleep(0.1)
        waiting = self.ask("select string_agg(name, ', ' order by name) from pg_settings where pending_restart")
        if waiting:
            print(f"restarted for {waiting}")
            run("systemctl", "restart", self.unit)

    # What it holds

    def ask(self, sql: str, database: str = "postgres") -> str:
        # What is said to the server may be secret, and is not for its log.
        quiet = "set log_statement = none; set log_min_duration_statement = -1; set log_min_error_statement = panic;\n"
        quiet += "set client_min_messages = warning;\n"
        argv = [*AS_POSTGRES, "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=terse"]
        # The port that is in use may not be the one that is configured, until the server is restarted.
        port, host = (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()[3:5]
        return run(*argv, "-h", host, "-p", port, "-d", database, stdin=quiet + sql + "\n").strip()

    def apply(self, *, check: bool) -> None:
        """In as few sessions as can be: a first boot waits for it."""
        state = json.loads(self.ask(STATE))
        if state["follows"]:
            return
        wanted, there = declared(), state["databases"]
        steps = users(wanted["users"], state["users"])
        for database in wanted["databases"]:
            name, owner = database["name"], database["owner"]
            if name not in there:
                steps.append((f"create database {name}", f"create database {ident(name)} owner {ident(owner)}"))
            elif there[name] != owner:
                sql = f"alter database {ident(name)} owner to {ident(owner)}"
                steps.append((f"give database {name} to {owner}", sql))
        self._do(steps, check=check)
        for database in wanted["databases"]:
            name, extensions = database["name"], database["extensions"]
            if extensions and (name in there or not check):
                has = json.loads(self.ask(EXTENSIONS, name))
                extensions = [extension for extension in extensions if extension not in has]
            sqls = (
                (f"create extension {one} in {name}", f"create extension {ident(one)} cascade") for one in extensions
            )
            self._do(list(sqls), check=check, database=name)
        if not check:
            self.note(SET_UP)

    def _do(self, steps: list[tuple[str, str]], *, check: bool, database: str = "postgres") -> None:
        for say, _sql in steps:
            print(say, flush=True)
        if steps and not check:
            self.ask(";\n".join(sql for _say, sql in steps), database)


STATE = """
select json_build_object(
  'follows', pg_is_in_recovery(),
  'databases', (select json_object_agg(datname, pg_get_userbyid(datdba)) from pg_database),
  'users', (select json_object_agg(rolname, json_build_object(
    'login', rolcanlogin, 'superuser', rolsuper, 'createdb', rolcreatedb, 'createrole', rolcreaterole,
    'replication', rolreplication, 'password', rolpassword,
    'member_of', (select coalesce(json_agg(g.rolname), '[]') from pg_auth_members m join pg_roles g on g.oid = m.roleid
                  where m.member = a.oid))) from pg_authid a))
"""
EXTENSIONS = "select coalesce(json_agg(extname), '[]') from pg_extension"
POWERS = ("login", "superuser", "createdb", "createrole", "replication")


def users(wanted: list[dict], there: dict[str, dict]) -> list[tuple[str, str]]:
    """What is to be done, as (what to say, SQL). A password is never said."""
    steps = []
    for user in wanted:
        name, has = user["name"], there.get(user["name"])
        powers = [power for power in POWERS if has is None or has[power] != user[power]]
        sql = " ".join((power if user[power] else f"no{power}") for power in powers)
        if has is None:
            steps.append((f"create user {name}", f"create role {ident(name)} {sql}"))
        elif powers:
            steps.append((f"change {', '.join(powers)} of user {name}", f"alter role {ident(name)} {sql}"))
        if user["password"] and user["password"] != (has or {}).get("password"):
            sql = f"alter role {ident(name)} password {literal(user['password'])}"
            steps.append((f"set the password of user {name}", sql))
    for user in wanted:
        for group in user["member_of"]:
            if group not in there.get(user["name"], {"member_of": []})["member_of"]:
                sql = f"grant {ident(group)} to {ident(user['name'])}"
                steps.append((f"make user {user['name']} a member of {group}", sql))
    return steps


def ident(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def make_certificate() -> list[str]:
    """Debian's self-signed one, if there is none. By its link, named after the host, this machine would trust it."""
    made = []
    if not Path("/etc/ssl/private/ssl-cert-snakeoil.key").exists():
        run("make-ssl-cert", "generate-default-snakeoil", "--force-overwrite")
        made.append("certificate /etc/ssl/certs/ssl-cert-snakeoil.pem")
    for link in Path("/etc/ssl/certs").glob("????????.?"):
        if link.is_symlink() and str(link.readlink()) == "ssl-cert-snakeoil.pem":
            link.unlink()
            made.append(f"no link {link}")
    return made


class scratch:  # noqa: N801 - a context manager
    """A folder of postgres' own with a copy of a file."""

    def __init__(self, candidate: str) -> None:
        self.candidate = candidate

    def __enter__(self) -> str:
        self.folder = tempfile.mkdtemp(prefix="goldsmith-postgresql-")
        shutil.copyfile(self.candidate, f"{self.folder}/candidate")
        run("chown", "-R", "postgres:postgres", self.folder)
        return self.folder

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder)


def main(arguments: list[str]) -> None:
    match arguments:
        case ["cluster", version]:
            Cluster(version).make()
        case ["first", version]:
            cluster = Cluster(version)
            if not cluster.mark.exists() or cluster.mark.read_text(encoding="utf-8") == NEW:
                cluster.apply(check=False)
        case ["apply", "--check", version]:
            Cluster(version).apply(check=True)
        case ["apply", version]:
            Cluster(version).apply(check=False)
        case ["settle", version]:
            Cluster(version).settle()
        case ["test-settings", version, candidate]:
            Cluster(version).test_settings(candidate)
        case ["test-hba", version, candidate]:
            Cluster(version).test_hba(candidate)
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    os.umask(0o022)
    os.environ.update(
        PATH="/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL="C.UTF-8", PGCONNECT_TIMEOUT="30", DEBIAN_FRONTEND="noninteractive"
    )
    main(sys.argv[1:])
