"""Running the definition in a container, from the beginning or from a stage of the last build."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path

from goldsmith import config, definition, docker, files, layer_store, layers, packer, place, proc, resources, stages
from goldsmith.errors import GoldsmithError
from goldsmith.plan import Plan
from goldsmith.progress import Progress


@dataclass(frozen=True)
class Made:
    """The image of the container. `sealed`: the role seal ran. `staged`: it went on from a stage, and so the image has
    more than one layer above its base. `name` is what it is called until it gets its own: see `saved`."""

    image_id: str
    sealed: bool
    staged: bool
    name: str


@contextlib.contextmanager
def running(
    project: config.Project,
    plan: Plan,
    build_id: str,
    progress: Progress,
    *,
    verbose: bool,
    meanwhile: Callable[[str], None] = lambda _start: None,
) -> Iterator[Made]:
    """Run Packer in a container of the plan's base. The image is there when the block begins; Packer has ended when the
    block has, and left the image as REPOSITORY:building-ID. While the container is at work `meanwhile` is called in
    another thread, with the name of the image that it was started from.

    Raises:
        GoldsmithError: as packer.run; or Ansible did not go on from where it should.
    """
    contents = definition.contents(project)
    templates = sorted(resources.folder("packer").glob("*.pkr.hcl"))
    others = [plan.image.model_dump(), plan.base_id, plan.tools, [files.sha256(path) for path in templates], plan.lock]
    now = stages.inputs(contents, json.dumps(others, sort_keys=True))
    record = plan.folder / stages.FILE
    before, known = stages.load(record)
    kept = [] if plan.anew else stages.usable(known, before, now, contents)
    there = docker.names(stages.REPOSITORY) if kept else set()
    kept = [stage for stage in kept if stage.image in there]
    start = kept[-1] if kept else None
    stages.begin(record, now, kept)
    stages.forget(stage for stage in known if stage not in kept)
    if start:
        progress.say(f"  the last build has what comes before {start.before}")
    base = start.image if start else plan.base
    with files.temporary_folder("stages") as folder, futures.ThreadPoolExecutor(1) as beside:
        orders = folder / "orders.json"
        given = stages.orders(record.resolve(), build_id, start, stages.changed(before, now), contents)
        orders.write_text(json.dumps(given))
        variables = packer.docker_variables(plan, build_id, base, _proxy_key(folder))
        environment = _environment(project.root, orders)
        lowered: list[int] = []

        def behind() -> None:
            # Ansible and what it starts come first.
            lowered.append(threading.get_native_id())
            proc.low_priority(lowered[0])
            meanwhile(base)

        done = beside.submit(behind)
        begun = False
        try:
            with packer.running(
                project, plan, "docker.image", variables, progress, environment=environment, verbose=verbose
            ) as heard:
                if start and not stages.resumed(record):
                    raise GoldsmithError(f"Ansible did not go on before {start.before}")
                building = f"{plan.repository}:building-{build_id}"
                image_id = heard.image_id or docker.image(building)["Id"]
                for thread in lowered:
                    proc.usual_priority(thread)
                futures.wait([done])  # whatever could not be done is done at the end
                begun = True
                yield Made(image_id, heard.sealed, start is not None, f"{building}-merged" if start else building)
        except GoldsmithError as error:
            if start and not begun:
                error.hint = "; ".join(filter(None, (error.hint, "`--force` builds from the beginning")))
            raise
        if docker.image(building)["Id"] != image_id:
            raise GoldsmithError(f"Packer named another image {building} than the one that it made")


def _proxy_key(folder: Path) -> str:
    """A key for Packer's proxy, made in the folder; empty where OpenSSH's client, which makes it, is not there."""
    if shutil.which("ssh-keygen") is None:
        return ""
    key = str(folder / "proxy")
    proc.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "goldsmith", "-f", key])
    return key


def _environment(root: Path, orders: Path) -> dict[str, str]:
    """With which Ansible has our callback beside the user's, and the callback its orders; and Mitogen, if it is there
    and the user has not chosen a strategy."""
    os.environ.update(place.ansible_environment(root))
    from ansible import constants  # noqa: PLC0415 - reads the configuration, and takes 0.2 s

    plugins = [*constants.DEFAULT_CALLBACK_PLUGIN_PATH, str(Path(__file__).parent / "callback_plugins")]
    environment = {
        "GOLDSMITH_STAGES": str(orders),
        "ANSIBLE_CALLBACK_PLUGINS": os.pathsep.join(map(str, plugins)),
        "ANSIBLE_CALLBACKS_ENABLED": ",".join([*constants.CALLBACKS_ENABLED, "goldsmith_stages"]),
    }
    strategies = mitogen_strategies()
    if strategies and constants.DEFAULT_STRATEGY in {"linear", "ansible.builtin.linear"}:
        folders = [*constants.DEFAULT_STRATEGY_PLUGIN_PATH, str(strategies)]
        environment["ANSIBLE_STRATEGY"] = "mitogen_linear"
        environment["ANSIBLE_STRATEGY_PLUGINS"] = os.pathsep.join(map(str, folders))
        # Mitogen does not read this of the inventory, and would work in /root, which stays in the image.
        environment["ANSIBLE_REMOTE_TMP"] = "/tmp/.ansible"  # noqa: S108 - in the container, as in the template
    return environment


def mitogen_strategies() -> Path | None:
    """Where Mitogen's strategies are, if the Ansible that Packer finds is the one that has them."""
    ansible = shutil.which("ansible-playbook")
    found = importlib.util.find_spec("ansible_mitogen")
    if found is None or found.origin is None or ansible is None or Path(ansible).parent != Path(sys.executable).parent:
        return None
    return Path(found.origin).parent / "plugins" / "strategy"


@contextlib.contextmanager
def saved(plan: Plan, made: Made, archive: layer_store.Archive) -> Iterator[None]:
    """The archive has the image that was made. Docker has it under `made.name` when the block ends.

    One that went on from a stage gets one layer above its base first: what a role made and the seal took out lies in
    the layer of the stage.
    """
    docker.save(docker.image(made.image_id), archive)
    if not made.staged:
        yield
        return
    merged = archive.path.with_name("merged.tar")
    layer = layers.squash(archive.path, merged, len(docker.image(plan.base_id)["RootFS"]["Layers"]), made.name)
    with proc.running(["docker", "load", "--quiet", "--input", str(merged)]) as loading:
        layers.lengthen(archive.path, merged)
        yield
        loading.communicate()
    loaded = docker.inspect_image(made.name)
    if loaded is None or loaded["RootFS"]["Layers"][-1] != layer:
        # A Docker that wants the layers, too, that it has. By now the archive may be gone.
        docker.save(docker.image(made.image_id), archive)
        layers.lengthen(archive.path, merged)
        layers.alone(archive.path, merged)
        proc.run(["docker", "load", "--quiet", "--input", str(merged)])
