#!/usr/bin/python
# Copyright: the Goldsmith authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module goldsmith.core.manifest."""

# ruff: noqa: E402 - Ansible wants the documentation before everything else

from __future__ import annotations

DOCUMENTATION = r"""
module: manifest
short_description: Record a machine's state as a manifest
description:
  - Collects the canonical record of a machine (operating system, packages, libraries, files, units, users, settings and
    what runs) in one pass over its files. It reads, and installs nothing.
  - Of V(/) it keeps the files' digests in C(/run/goldsmith/digests), for root alone, so that the next collection reads
    only what changed. This is all that it writes, and in check mode it does not.
  - Two manifests with equal digests are of equal machines. Two collections of an unchanged machine are equal byte for
    byte.
  - Contents are recorded as digests only. A manifest holds no secret, and no password hash.
version_added: 0.1.0
author: The Goldsmith authors (!UNKNOWN)
extends_documentation_fragment: goldsmith.core.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  platform:
    support: full
    platforms: posix
options:
  root:
    description:
      - The root directory of the machine to record.
      - V(/) is this machine, live, with what runs on it. Any other directory is taken as a machine at rest, such as a
        mounted image.
    type: path
    default: /
  dest:
    description:
      - A file on the target that takes the manifest. It is replaced whole, and only when the manifest changed.
      - Without it the manifest comes back as RV(manifest).
      - The file is itself part of the machine if it lies below O(root) where files are recorded. So choose a path below
        C(/run), C(/tmp), C(/var/tmp) or C(/var/cache).
    type: path
  cache:
    description:
      - Whether to take the digests of files that did not change from the last collection since this boot, and to keep
        them for the next. V(false) reads every file, and writes nothing.
      - A restored time of modification does not fool it. What a file is known by is the time of change, which the
        kernel alone sets.
    type: bool
    default: true
    version_added: 0.2.0
requirements:
  - root, to read every file
"""

EXAMPLES = r"""
- name: Record this machine
  goldsmith.core.manifest:
  register: machine

- name: Show what stands for its state
  ansible.builtin.debug:
    var: machine.digest

- name: Record a mounted image, in a file
  goldsmith.core.manifest:
    root: /mnt/image
    dest: /var/cache/image.manifest.json
"""

RETURN = r"""
digest:
  description: Stands for the machine's sections, identity and what runs apart. Equal digests mean equal machines.
  returned: success
  type: str
  sample: sha256:5abac0b0a63beabb25f10a2b25406b51c1fcc629a6dffb7e42990995e57faa80
manifest:
  description: The manifest, as C(docs/manifest.md) of the collection describes it.
  returned: success, without O(dest)
  type: dict
  sample: {"schema": "goldsmith.manifest/1", "scope": "live", "sections": {"packages": {}}}
dest:
  description: The file that holds the manifest.
  returned: success, with O(dest)
  type: str
  sample: /var/cache/image.manifest.json
notes:
  description: What could not be read or recorded, if anything.
  returned: success
  type: list
  elements: str
  sample: []
"""

import json
import os
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.goldsmith.core.plugins.module_utils.collector import cache, document, tree


def collect(module):
    """The manifest of the root, or a failure that names it."""
    root = module.params["root"]
    if not os.path.isdir(root):
        module.fail_json(msg="root %s is not a directory" % root)
    scope = document.LIVE if os.path.realpath(root) == "/" else document.REST
    kept = cache.load() if scope == document.LIVE and module.params["cache"] else None
    try:
        found = document.collect(tree.DirectoryTree(root, kept), scope)
    except OSError as error:
        module.fail_json(msg="can't collect %s: %s" % (root, error))
    if kept and not module.check_mode:
        cache.save(kept)
    return found


def write(module, dest, text):
    """Put the text in its file, whole; True when that changed it."""
    try:
        with open(dest, "rb") as source:
            if source.read() == text:
                return False
    except OSError:
        pass
    if os.path.isdir(dest):
        module.fail_json(msg="dest %s is a directory; name a file in it" % dest)
    if not os.path.isdir(os.path.dirname(dest) or "."):
        module.fail_json(msg="dest %s: there is no directory %s" % (dest, os.path.dirname(dest)))
    if not module.check_mode:
        handle, temporary = tempfile.mkstemp(dir=module.tmpdir)
        with os.fdopen(handle, "wb") as target:
            target.write(text)
        module.atomic_move(temporary, dest)
    return True


def main():
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "default": "/"},
            "dest": {"type": "path"},
            "cache": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    found = collect(module)
    result = {"changed": False, "digest": found["digest"], "notes": found["warnings"]}
    dest = module.params["dest"]
    if dest:
        result["dest"] = dest
        result["changed"] = write(module, dest, ("".join(found.pieces()) + "\n").encode("ascii"))
    else:
        result["manifest"] = json.loads("".join(found.pieces()))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
