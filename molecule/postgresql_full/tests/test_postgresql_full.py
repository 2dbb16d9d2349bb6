"""The role postgresql on a machine that held data before, made with other variables (prepare.yml)."""

from __future__ import annotations

from typing import Any

import pytest

PSQL = "runuser -u postgres -- psql -X -A -t -q -p 5433 -d %s -c %s"


@pytest.fixture(scope="module")
def version(host: Any) -> str:
    return str(host.check_output("pg_lsclusters --no-header").split()[0])


@pytest.mark.parametrize("database", ["shop", "former"])
def test_data_are_still_there(host: Any, database: str) -> None:
    assert host.check_output(PSQL, database, "select count(*), max(n) from kept") == "1000|1000"


def test_what_is_no_longer_listed_is_not_dropped(host: Any) -> None:
    owner = "select pg_get_userbyid(datdba) from pg_database where datname = 'former'"
    assert host.check_output(PSQL, "postgres", owner) == "former"
    login = "PGPASSWORD=former psql -X -A -t -h 127.0.0.1 -p 5433 -U former -d former -c 'select current_user'"
    assert host.check_output(login) == "former"


def test_former_password_is_refused(host: Any) -> None:
    tried = host.run("PGPASSWORD=earlier psql -X -h 127.0.0.1 -p 5433 -U shop -d shop -c 'select 1'")
    assert tried.rc == 2
    assert "password authentication failed" in tried.stderr


def test_rule_of_access_rejects(host: Any) -> None:
    login = "PGPASSWORD=other psql -X -A -t -h 127.0.0.1 -p 5433 -U reporting -d %s -c 'select 1'"
    assert host.check_output(login, "postgres") == "1"
    tried = host.run(login, "shop")
    assert tried.rc == 2
    assert "rejects connection" in tried.stderr


def test_new_cluster_has_checksums_and_the_locale_that_was_asked_for(host: Any) -> None:
    assert host.check_output(PSQL, "postgres", "show data_checksums") == "on"
    assert host.check_output(PSQL, "postgres", "select datcollate from pg_database where datname = 'former'") == "C"


def test_what_was_changed_by_hand_is_named(host: Any, version: str) -> None:
    check = f"/usr/local/sbin/goldsmith-postgresql apply --check {version}"
    host.check_output(PSQL, "postgres", "alter role shop nocreatedb")
    assert host.check_output(check) == "change createdb of user shop"
    host.check_output(f"/usr/local/sbin/goldsmith-postgresql apply {version}")
    assert host.check_output(check) == ""


def test_setting_that_needs_no_restart_causes_none(host: Any, version: str) -> None:
    asked = "select pg_postmaster_start_time()"
    before = host.check_output(PSQL, "postgres", asked)
    assert host.check_output(f"/usr/local/sbin/goldsmith-postgresql settle {version}") == ""
    assert host.check_output(PSQL, "postgres", asked) == before


def test_data_that_are_missing_are_not_replaced_by_an_empty_cluster(host: Any, version: str) -> None:
    data, unit = f"/var/lib/postgresql/{version}/main", f"postgresql@{version}-main.service"
    host.check_output(f"systemctl stop {unit} && mv {data} {data}.away")
    try:
        assert host.run(f"systemctl start {unit}").rc == 1
        assert not host.file(data).exists
        assert "Is a disk missing?" in host.check_output(f"journalctl --unit={unit} --lines=20 --output=cat")
    finally:
        host.check_output(f"mv {data}.away {data} && systemctl start {unit}")
    assert host.check_output(PSQL, "shop", "select count(*) from kept") == "1000"


def test_secrets_are_not_in_the_log(host: Any) -> None:
    log = host.check_output("cat /var/log/postgresql/*.log")
    assert "SCRAM-SHA-256$" not in log
