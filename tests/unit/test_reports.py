"""`goldsmith compare --junit --sarif --html`: what it writes, and what it says when it can't."""

from __future__ import annotations

import json
import re
import shlex
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from goldsmith import cli, manifest
from goldsmith.commands import common
from goldsmith.errors import GoldsmithError, UsageError
from tests import fleets
from tests.paths import EXAMPLE, ROOT


@pytest.fixture
def pair(tmp_path: Path) -> list[str]:
    """The recorded image, and a host of another state."""
    _, host = fleets.machines(2, 1)
    paths = [tmp_path / "web-image.json", tmp_path / "web1.json"]
    for path, machine in zip(paths, (fleets.recorded("image-at-rest"), host), strict=True):
        manifest.save(machine, path)
    return [*map(str, paths), "--project", str(EXAMPLE)]


def test_all_three_say_what_the_terminal_says(pair: list[str], tmp_path: Path) -> None:
    junit, sarif, html = (tmp_path / "new" / name for name in ("report.xml", "report.sarif", "report.html"))
    done = CliRunner().invoke(
        cli.app, ["compare", *pair, "--json", "--junit", str(junit), "--sarif", str(sarif), "--html", str(html)]
    )
    assert done.exit_code == common.UNEXPLAINED
    said = json.loads(done.stdout)
    assert said["unexplained"] > 2
    (suite,) = ET.parse(junit).getroot()
    assert suite.get("name") == "web1"
    sections = {each["section"] for each in said["differences"] if not each["explained"]}
    assert suite.get("failures") == str(len(sections))
    (logged,) = json.loads(sarif.read_text())["runs"]
    assert len(logged["results"]) == said["unexplained"]
    assert "<title>web1 differs from web-image</title>" in html.read_text()


def test_equal_machines_have_reports_too(pair: list[str], tmp_path: Path) -> None:
    image, _, *project = pair
    done = CliRunner().invoke(cli.app, ["compare", image, image, *project, "--html", str(tmp_path / "page.html")])
    assert done.exit_code == 0
    assert "<title>web-image is equal to web-image</title>" in (tmp_path / "page.html").read_text()


def test_a_fleet_and_a_manifest_that_can_not_be_read(pair: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "fleet"
    for machine in fleets.machines(3, 2):
        manifest.save(machine, folder / f"{machine.name}.json")
    (folder / "web0006.json").write_text("{")
    junit, sarif, html = (tmp_path / name for name in ("report.xml", "report.sarif", "report.html"))
    done = CliRunner().invoke(
        cli.app,
        ["compare", pair[0], str(folder), *pair[2:], "--junit", str(junit), "--sarif", str(sarif), "--html", str(html)],
    )
    assert done.exit_code == 1
    assert "<title>3 of 6 machines differ from web-image</title>" in html.read_text()
    assert {suite.get("name"): suite.get("errors") for suite in ET.parse(junit).getroot()} == {
        **dict.fromkeys((f"web000{number}" for number in range(1, 6)), "0"),
        "web0006": "1",
    }
    (invocation,) = json.loads(sarif.read_text())["runs"][0]["invocations"]
    assert invocation["executionSuccessful"] is False


def test_contents_of_files_make_no_report(pair: list[str], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = CliRunner().invoke(cli.app, ["compare", *pair, "--show", "/etc/motd", "--html", str(page)])
    assert isinstance(done.exception, UsageError)
    assert not page.exists()


@pytest.mark.parametrize("option", ["--junit", "--sarif", "--html"])
def test_a_file_that_cannot_be_written_is_told(pair: list[str], option: str) -> None:
    # A file stands where the folder would have to be.
    done = CliRunner().invoke(cli.app, ["compare", *pair, option, f"{pair[0]}/report"])
    assert isinstance(done.exception, GoldsmithError)
    assert done.exception.message.startswith(f"cannot write {pair[0]}/report: ")


def test_what_the_documentation_shows_works(pair: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs/reports.md").read_text(encoding="utf-8")
    snippets = [yaml.safe_load(snippet) for snippet in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    gitlab, steps = snippets[0]["compare"], snippets[1]["jobs"]["compare"]["steps"]
    inputs = [step.get("with", {}) for step in steps]
    shown = [line for block in re.findall(r"```\n(goldsmith .*?)```", text, re.DOTALL) for line in block.splitlines()]
    shown += [*gitlab["script"], *(step["run"] for step in steps if "run" in step)]
    assert len(shown) == 4
    image, host, *project = pair
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests/web1.json").write_bytes(Path(host).read_bytes())
    ours = {"docker-image:goldsmith/web": image, "web.json": image, "ssh:web1": host}
    monkeypatch.chdir(tmp_path)
    for line in shown:
        words = [ours.get(word, word) for word in shlex.split(line, comments=True)[1:]]
        done = CliRunner().invoke(cli.app, [*words, *project])
        assert done.exit_code == common.UNEXPLAINED, f"{line}: {done.output}"
    named = {*gitlab["artifacts"]["paths"], *gitlab["artifacts"]["reports"].values()}
    named |= {each[key] for each in inputs for key in ("sarif_file", "path") if key in each}
    assert named == {"goldsmith.html", "goldsmith.xml", "goldsmith.sarif"}
    assert all((tmp_path / name).exists() for name in named)
