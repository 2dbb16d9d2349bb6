"""amazon-ebs.image from end to end, but for the cloud itself.

moto stands in for Amazon's EC2, on loopback: with the real one this test would need an account, and cost money. moto
answers as EC2 does and remembers what it was told, but starts no machine, takes no snapshot and boots no AMI. So a
container with sshd plays the machine, and what is proven is the conversation: what Packer asks for, what it does over
SSH, what is left. What only a real account can show is listed in docs/targets.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests

from examples.lab import Lab
from goldsmith import collect, manifest, proc
from tests.integration.conftest import write_playbook
from tests.paths import ROOT

DEBIAN, OTHER = "136693071363", "999999999999"
REGION = "eu-central-1"
NEWEST = "ami-00000000000000002"
IMAGES = [
    ("ami-00000000000000001", DEBIAN, "debian-12-amd64-20260101-1", "2026-01-01T00:00:00.000Z"),
    (NEWEST, DEBIAN, "debian-12-amd64-20260201-1", "2026-02-01T00:00:00.000Z"),
    ("ami-00000000000000003", DEBIAN, "debian-13-amd64-20260301-1", "2026-03-01T00:00:00.000Z"),
    ("ami-00000000000000004", OTHER, "debian-12-amd64-20260401-1", "2026-04-01T00:00:00.000Z"),
]
DIGEST = "org.goldsmith.manifest-digest"


@dataclass
class Cloud:
    """The stand-in, and the containers that play its machines: `sealed` for one build, `failing` for all that fail."""

    endpoint: str
    ec2: Any
    lab: Lab
    patch: pytest.MonkeyPatch

    def build(self, project: Path, machine: str, **environment: str) -> proc.Completed:
        """`packer build` of the project's site.yml. The address that moto gives its machine is the container's."""
        form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        address = proc.run(["docker", "inspect", "--format", form, self.lab.container(machine)]).text
        interfaces = "moto.ec2.models.elastic_network_interfaces"
        self.patch.setattr(f"{interfaces}.random_public_ip", lambda: address)
        variables = {
            "name": "small",
            "build_id": "test-1",
            "playbook": project / "site.yml",
            "ssh_private_key_file": self.lab.key,
            "output_directory": project / "out",
            "amazon_endpoint": self.endpoint,
        }
        arguments = [f"-var={name}={value}" for name, value in variables.items()]
        argv = ["packer", "build", "-color=false", "-only=amazon-ebs.image", *arguments, str(ROOT / "packer")]
        # A machine that is not found would be waited for for an hour.
        return proc.run(argv, cwd=ROOT, env=environment, check=False, timeout=300)

    def own_images(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ec2.describe_images(Owners=["self"])["Images"]
        return found

    def own_snapshots(self) -> list[dict[str, Any]]:
        found = self.ec2.describe_snapshots()["Snapshots"]
        return [snapshot for snapshot in found if snapshot["OwnerId"] not in (DEBIAN, OTHER)]

    def machine(self) -> dict[str, Any]:
        """The one that was started."""
        [reservation] = self.ec2.describe_instances()["Reservations"]
        [found] = reservation["Instances"]
        return dict(found)

    def left(self) -> list[str]:
        """What runs, or was there for the build only."""
        machine = self.machine()
        running = [] if machine["State"]["Name"] == "terminated" else [machine["InstanceId"]]
        groups = [group["GroupName"] for group in self.ec2.describe_security_groups()["SecurityGroups"]]
        keys = [key["KeyName"] for key in self.ec2.describe_key_pairs()["KeyPairs"]]
        volumes = [volume["VolumeId"] for volume in self.ec2.describe_volumes()["Volumes"]]
        return [*running, *(name for name in groups if name != "default"), *keys, *volumes]


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory, base: str) -> Iterator[Cloud]:
    folder = tmp_path_factory.mktemp("amazon")
    common = {"architecture": "x86_64", "virtualization_type": "hvm", "root_device_type": "ebs", "public": True}
    keys = ("ami_id", "owner_id", "name", "creation_date")
    images = [{**dict(zip(keys, image, strict=True)), **common} for image in IMAGES]
    (folder / "images.json").write_text(json.dumps(images))
    with pytest.MonkeyPatch.context() as patch, Lab(folder / "lab", base, ["sealed", "failing"]) as lab:
        # Whatever account the user has, nothing of it is found.
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_URL"):
            patch.delenv(name, raising=False)
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            patch.setenv(name, "/dev/null")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "none")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("MOTO_AMIS_PATH", str(folder / "images.json"))
        from moto.server import ThreadedMotoServer  # noqa: PLC0415 - it reads the images when it is imported

        server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
        server.start()
        try:
            endpoint = "http://{}:{}".format(*server.get_host_and_port())
            yield Cloud(endpoint, boto3.client("ec2", endpoint_url=endpoint, region_name=REGION), lab, patch)
        finally:
            server.stop()


@pytest.fixture
def cloud(standing: Cloud) -> Cloud:
    """With nothing in it but the images to start from."""
    requests.post(f"{standing.endpoint}/moto-api/reset", timeout=10).raise_for_status()
    return standing


def tags(thing: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in thing["Tags"]}


def test_ami_carries_the_digest_of_what_was_built(cloud: Cloud, tmp_path: Path) -> None:
    write_playbook(
        tmp_path,
        "ansible.builtin.copy: {content: built, dest: /etc/built, mode: '0644'}",
        "ansible.builtin.setup:",
        "ansible.builtin.include_role: {name: goldsmith.core.first_boot}",
        "ansible.builtin.include_role: {name: goldsmith.core.seal}",
    )
    built = cloud.build(tmp_path, "sealed")
    assert built.code == 0, built.text

    machine = cloud.machine()
    assert machine["ImageId"] == NEWEST
    assert machine["InstanceType"] == "t3.small"
    assert tags(machine)["org.goldsmith.build"] == "test-1"
    assert cloud.left() == []

    # The container is there still, as the machine was when its disk became a snapshot.
    collected = collect.collect(collect.Target("docker", cloud.lab.container("sealed")))
    assert "/etc/built" in collected.sections["files"]
    assert "/root/.ssh/authorized_keys" not in collected.sections["files"]
    [image] = cloud.own_images()
    [snapshot] = cloud.own_snapshots()
    expected = {"Name": "small", "org.goldsmith.build": "test-1", DIGEST: collected.digest}
    assert tags(image) == expected
    assert tags(snapshot) == expected
    assert re.fullmatch(r"small-\d{14}", image["Name"])
    assert snapshot["SnapshotId"] == image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    [saved] = (tmp_path / "out").iterdir()
    assert saved.name == f"{image['Name']}.manifest.json"
    assert manifest.load(saved).digest == collected.digest


def check_nothing_came_of_it(cloud: Cloud, project: Path, built: proc.Completed) -> None:
    assert built.code == 1, built.text
    assert cloud.own_images() == []
    assert cloud.own_snapshots() == []
    assert cloud.left() == []
    assert list(project.glob("out/*")) == []


def test_failing_task_leaves_nothing(cloud: Cloud, tmp_path: Path) -> None:
    write_playbook(tmp_path, "ansible.builtin.command: 'false'")
    built = cloud.build(tmp_path, "failing")
    assert '"cmd": ["false"]' in re.sub(r"\s+amazon-ebs\.image:\s+", " ", built.text), built.text
    check_nothing_came_of_it(cloud, tmp_path, built)


def test_ami_whose_digest_is_refused_is_taken_back(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For instance in an account whose owner allows some tags only."""
    from moto.ec2.exceptions import EC2ClientError  # noqa: PLC0415
    from moto.ec2.models.tags import TagBackend  # noqa: PLC0415

    known = TagBackend.create_tags
    asked: list[list[str]] = []

    def create_tags(backend: TagBackend, resources: list[str], tags: dict[str, str]) -> bool:
        if DIGEST in tags:
            asked.append(resources)
            raise EC2ClientError("UnauthorizedOperation", "You are not authorized to perform this operation.")
        return known(backend, resources, tags)

    monkeypatch.setattr(TagBackend, "create_tags", create_tags)
    write_playbook(tmp_path, "ansible.builtin.command: 'true'")
    built = cloud.build(tmp_path, "failing")
    assert "not authorized" in built.text
    assert [resources[0].partition("-")[0] for resources in asked] == ["ami", "snap"]
    check_nothing_came_of_it(cloud, tmp_path, built)


def test_without_the_library_that_tags_no_role_runs(cloud: Cloud, tmp_path: Path) -> None:
    (tmp_path / "library").mkdir()
    (tmp_path / "library/boto3.py").write_text("raise ImportError\n")
    write_playbook(tmp_path, "ansible.builtin.command: 'true'")
    built = cloud.build(tmp_path, "failing", PYTHONPATH=str(tmp_path / "library"))
    assert "boto3" in built.text
    assert "PLAY [Small]" not in built.text
    check_nothing_came_of_it(cloud, tmp_path, built)
