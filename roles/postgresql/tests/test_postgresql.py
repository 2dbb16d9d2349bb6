"""The role postgresql. The server itself is asked; what is made to try it is taken back."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from typing import Any

import pytest

Sql = Callable[..., str]
TLS = """
import socket, sys
link = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
link.sendall(bytes([0, 0, 0, 8, 4, 210, 22, 47]))
print(link.recv(1).decode())
"""
FIXED = [("local", "all", "all", None, "peer"), ("host", "all", "all", "127.0.0.1", "scram-sha-256")]


@pytest.fixture(scope="module")
def cluster(host: Any) -> dict[str, str]:
    """The one cluster, as Debian's programs see it."""
    lines = host.check_output("pg_lsclusters --no-header").splitlines()
    assert len(lines) == 1, lines
    return dict(zip(("version", "name", "port", "status", "owner", "data"), lines[0].split(), strict=False))


@pytest.fixture(scope="module")
def sql(host: Any, variables: dict[str, Any]) -> Sql:
    """Ask as postgres, through the socket."""
    port = str(variables["postgresql_settings"].get("port", variables["postgresql_port"]))

    def ask(query: str, database: str = "postgres") -> str:
        command = "runuser -u postgres -- psql -X -A -t -q -v ON_ERROR_STOP=1 -p %s -d %s -c %s"
        return str(host.check_output(command, port, database, query))

    return ask


@pytest.fixture(scope="module")
def users(sql: Sql) -> dict[str, Any]:
    return dict(json.loads(sql("select json_object_agg(rolname, row_to_json(a)) from pg_authid a")))


def unit(host: Any, name: str, *properties: str) -> dict[str, str]:
    asked = " ".join(f"-p {name}" for name in properties)
    lines = host.check_output(f"systemctl show {asked} -- {shlex.quote(name)}").splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_one_cluster_runs_and_comes_back_after_a_boot(host: Any, cluster: dict[str, str]) -> None:
    assert (cluster["name"], cluster["status"], cluster["owner"]) == ("main", "online", "postgres")
    assert host.check_output("systemctl is-enabled postgresql.service") == "enabled"
    assert host.check_output("systemctl is-active postgresql.service") == "active"
    assert unit(host, f"postgresql@{cluster['version']}-main.service", "ActiveState") == {"ActiveState": "active"}


def test_settings_are_in_force(sql: Sql, variables: dict[str, Any]) -> None:
    addresses = ", ".join(variables["postgresql_listen_addresses"])
    wanted = {"listen_addresses": addresses, "port": variables["postgresql_port"], **variables["postgresql_settings"]}
    texts = {name: ("off", "on")[value] if isinstance(value, bool) else str(value) for name, value in wanted.items()}
    rows = sql("select json_object_agg(name, setting) from pg_file_settings where applied and sourcefile ~ 'conf[.]d/'")
    assert json.loads(rows).items() >= texts.items()
    assert sql("select name, error from pg_file_settings where error is not null") == ""
    assert sql("select name from pg_settings where pending_restart") == ""


def test_passwords_are_kept_as_scram(sql: Sql, variables: dict[str, Any]) -> None:
    wanted = variables["postgresql_settings"].get("password_encryption", "scram-sha-256")
    assert sql("show password_encryption") == wanted


def test_server_listens_where_it_should_and_nowhere_else(host: Any, variables: dict[str, Any]) -> None:
    port = variables["postgresql_settings"].get("port", variables["postgresql_port"])
    addresses = variables["postgresql_listen_addresses"]
    everywhere = "*" in addresses or "0.0.0.0" in addresses  # noqa: S104 - what is asked for
    assert host.socket(f"tcp://0.0.0.0:{port}").is_listening is everywhere
    if not everywhere:
        assert host.socket(f"tcp://127.0.0.1:{port}").is_listening is bool({"localhost", "127.0.0.1"} & set(addresses))


def test_connections_can_be_encrypted_with_a_key_of_the_machine_itself(host: Any, variables: dict[str, Any]) -> None:
    settings = variables["postgresql_settings"]
    if not {"*", "localhost", "127.0.0.1"} & set(variables["postgresql_listen_addresses"]):
        pytest.skip("it does not listen on the loopback interface")
    port = str(settings.get("port", variables["postgresql_port"]))
    assert (
        host.check_output("/usr/bin/python3 -c %s 127.0.0.1 %s", TLS, port) == "SN"[settings.get("ssl", True) is False]
    )
    key = host.file("/etc/ssl/private/ssl-cert-snakeoil.key")
    assert (key.user, key.group, key.mode) == ("root", "ssl-cert", 0o640)
    # Nor does the machine trust that key, or would bear the host's name in a file's.
    assert host.check_output("find /etc/ssl/certs -lname ssl-cert-snakeoil.pem") == ""


def test_rules_of_access_are_read_as_they_were_meant(
    sql: Sql, variables: dict[str, Any], cluster: dict[str, str]
) -> None:
    assert sql("select error from pg_hba_file_rules where error is not null") == ""
    rows = json.loads(
        sql(
            "select json_agg(json_build_array(type, array_to_string(database, ','), array_to_string(user_name, ','),"
            " address, auth_method) order by line_number) from pg_hba_file_rules"
        )
    )
    assert rows[0] == ["local", "all", "postgres", None, "peer"]
    own = variables["postgresql_hba"]
    for rule, row in zip(own, rows[1:], strict=False):
        assert row[:3] == [rule.get("type", "hostssl"), rule.get("database", "all"), rule.get("user", "all")]
        assert rule.get("address", "").startswith(row[3] or "")
        assert row[4] == rule.get("method", "scram-sha-256").split()[0]
    rest = [tuple(row) for row in rows[1 + len(own) :]]
    assert len(rest) == 6
    assert rest[:2] == FIXED
    assert {row[4] for row in rest} == {"peer", "scram-sha-256"}


def test_rules_and_settings_may_not_be_changed_by_others(host: Any, cluster: dict[str, str]) -> None:
    folder = f"/etc/postgresql/{cluster['version']}/main"
    for name, mode in (("pg_hba.conf", 0o640), ("conf.d/goldsmith.conf", 0o644)):
        file = host.file(f"{folder}/{name}")
        assert (file.user, file.group, file.mode) == ("postgres", "postgres", mode)


def test_what_is_not_sound_is_refused(host: Any, cluster: dict[str, str]) -> None:
    program = f"/usr/local/sbin/goldsmith-postgresql %s {cluster['version']}"
    for test, line in (
        ("test-settings", "max_conections = 5"),
        ("test-settings", "work_mem = '5 XB'"),
        ("test-hba", "host all all 192.0.2.0/33 scram-sha-256"),
        ("test-hba", "host all all 192.0.2.0/24 trusted"),
    ):
        shell = f"f=$(mktemp) && echo %s >$f && {program % test} $f; rc=$?; rm -f $f; exit $rc"
        assert host.run(shell, line).rc == 1, line
    assert host.check_output("ls -d /tmp/goldsmith-postgresql-* 2>/dev/null || :") == ""


def test_another_account_is_not_taken_for_postgres(host: Any, variables: dict[str, Any]) -> None:
    port = str(variables["postgresql_settings"].get("port", variables["postgresql_port"]))
    tried = host.run("runuser -u nobody -- psql -X -p %s -U postgres -d postgres -c 'select 1'", port)
    assert tried.rc == 2
    assert "Peer authentication failed" in tried.stderr


def test_users_are_as_declared(users: dict[str, Any], variables: dict[str, Any], sql: Sql) -> None:
    for user in variables["postgresql_users"]:
        has = users[user["name"]]
        assert {
            "login": has["rolcanlogin"],
            "superuser": has["rolsuper"],
            "createdb": has["rolcreatedb"],
            "createrole": has["rolcreaterole"],
            "replication": has["rolreplication"],
        } == {
            "login": user.get("login", True),
            **{power: user.get(power, False) for power in ("superuser", "createdb", "createrole", "replication")},
        }
        for group in user.get("member_of", []):
            query = f"select pg_has_role({literal(user['name'])}, {literal(group)}, 'member')"
            assert sql(query) == "t"


def test_users_log_in_with_their_passwords_only(host: Any, users: dict[str, Any], variables: dict[str, Any]) -> None:
    settings = variables["postgresql_settings"]
    port = str(settings.get("port", variables["postgresql_port"]))
    ruled = {name for rule in variables["postgresql_hba"] for name in rule.get("user", "all").split(",")}
    listens = {"*", "localhost", "127.0.0.1"} & set(variables["postgresql_listen_addresses"])
    command = "PGPASSWORD=%s psql -X -A -t -h 127.0.0.1 -p %s -U %s -d postgres -c 'select current_user'"
    for user in variables["postgresql_users"]:
        name, password = user["name"], user.get("password", "")
        if password and not password.startswith("SCRAM-SHA-256$"):
            assert users[name]["rolpassword"].startswith("SCRAM-SHA-256$")
            assert password not in host.file("/etc/goldsmith/postgresql.json").content_string
            if listens and user.get("login", True) and not {name, "all"} & ruled:
                assert host.check_output(command, password, port, name) == name
                refused = host.run(command, password + "x", port, name)
                assert refused.rc == 2
                assert "password authentication failed" in refused.stderr


def test_databases_are_as_declared_and_their_owners_can_use_them(sql: Sql, variables: dict[str, Any]) -> None:
    owners = json.loads(sql("select json_object_agg(datname, pg_get_userbyid(datdba)) from pg_database"))
    for database in variables["postgresql_databases"]:
        name, owner = database["name"], database.get("owner", "postgres")
        assert owners[name] == owner
        has = set(sql("select extname from pg_extension", name).splitlines())
        assert set(database.get("extensions", [])) <= has
        quoted = '"' + owner.replace('"', '""') + '"'
        steps = ("begin", f"set local role {quoted}", "create table goldsmith_test (n int)")
        steps += ("insert into goldsmith_test values (42)", "select n from goldsmith_test", "rollback")
        assert sql("; ".join(steps), name) == "42"


def test_data_are_written_and_read_with_checksums(sql: Sql, host: Any, cluster: dict[str, str]) -> None:
    assert sql("begin; create table goldsmith_test as select 7 as n; select n from goldsmith_test; rollback") == "7"
    data = host.file(cluster["data"])
    assert (data.user, data.mode) == ("postgres", 0o700)


def test_nothing_is_left_to_do(host: Any, cluster: dict[str, str]) -> None:
    assert host.check_output(f"/usr/local/sbin/goldsmith-postgresql apply --check {cluster['version']}") == ""
    mark = host.file(f"/var/lib/goldsmith/postgresql-{cluster['version']}-main")
    assert (mark.content_string, mark.user, mark.mode) == ("set up\n", "root", 0o644)


def test_what_is_declared_is_for_root_only(host: Any) -> None:
    file = host.file("/etc/goldsmith/postgresql.json")
    assert (file.user, file.group, file.mode) == ("root", "root", 0o600)
    folder = host.file("/etc/goldsmith")
    assert (folder.user, folder.mode) == ("root", 0o755)
    program = host.file("/usr/local/sbin/goldsmith-postgresql")
    assert (program.user, program.mode) == ("root", 0o755)


def test_package_makes_no_cluster_of_another_version(host: Any) -> None:
    show = "pg_conftool /etc/postgresql-common/createcluster.conf show --boolean --short create_main_cluster"
    assert host.check_output(show) == "off"


def test_new_machine_makes_its_own_cluster_before_the_server_starts(host: Any, cluster: dict[str, str]) -> None:
    name = f"postgresql@{cluster['version']}-main.service"
    shown = unit(host, name, "ExecStartPre", "RequiresMountsFor", "NeedDaemonReload")
    assert f"/usr/local/sbin/goldsmith-postgresql cluster {cluster['version']} " in shown["ExecStartPre"]
    assert f"/var/lib/postgresql/{cluster['version']}/main" in shown["RequiresMountsFor"].split()
    assert shown["NeedDaemonReload"] == "no"
    first = unit(host, "goldsmith-postgresql.service", "Result", "ActiveState", "UnitFileState", "After", "Before")
    assert (first["Result"], first["ActiveState"], first["UnitFileState"]) == ("success", "active", "enabled")
    assert name in first["After"].split()
    assert "postgresql.service" in first["Before"].split()


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
