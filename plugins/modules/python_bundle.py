# Copyright: the Goldsmith authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: python_bundle
short_description: Pack a Python application and its hash-pinned libraries on the controller
description:
  - Packs a folder of the controller into a tar file whose bytes depend on names, contents and execute bits alone.
  - Downloads, on the controller, the wheels that the requirements name, for the Python, the processor and the C library
    of the host, and packs them likewise. Every requirement needs a hash. Nothing is ever compiled.
  - Both files are kept in a cache, named by what they are made of. A second run, or another host of the same kind,
    finds them there. Two runs at once do the work once.
  - The host needs no access to a package index.
version_added: 0.1.0
author: The Goldsmith authors (!UNKNOWN)
options:
  source:
    description: The application's folder on the controller.
    type: path
    required: true
  requirements:
    description: The requirements file, relative to I(source). An empty string means that there are none.
    type: str
    default: requirements.txt
  python:
    description: The interpreter on the host.
    type: path
    default: /usr/bin/python3
  cache:
    description: The folder on the controller that keeps the results.
    type: path
    default: ~/.cache/goldsmith/python
attributes:
  check_mode:
    description: Runs in check mode. It reads and packs the source, and downloads nothing.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
notes:
  - The controller needs pip, either in the Python that runs Ansible or as C(pip3) on the PATH.
"""

EXAMPLES = r"""
- name: Pack the application
  goldsmith.core.python_bundle:
    source: /srv/hello
  register: __bundle
"""

RETURN = r"""
release:
  description: Names this application with these libraries on this Python. Equal inputs give an equal name.
  returned: always
  type: str
  sample: 4f1b2a9c0d3e5f67
source_archive:
  description: The tar file of the application, on the controller. Its members begin with C(app/).
  returned: always
  type: str
  sample: /root/.cache/goldsmith/python/source-4f1b2a9c0d3e5f67.tar
wheels_archive:
  description: The tar file of the wheels. Its members begin with C(wheels/). Empty without requirements.
  returned: always
  type: str
  sample: /root/.cache/goldsmith/python/wheels-0a1b2c3d4e5f6071.tar
downloaded:
  description: Whether wheels were downloaded in this run.
  returned: always
  type: bool
  sample: false
"""
