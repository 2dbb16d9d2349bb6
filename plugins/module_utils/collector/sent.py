# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Imports the collector's modules from memory, where they came over standard input. It runs before any other of them.

Faster than from a zip archive, of which each module is looked up, read and unpacked by itself, and a third smaller.
"""

from __future__ import annotations

import marshal
import sys
import zlib
from importlib.machinery import ModuleSpec
from importlib.util import MAGIC_NUMBER


class Modules:
    """A finder and loader of modules by name, {"collector.tree": …}, some of them packages: byte code for a Python with
    that magic number, else their sources."""

    def __init__(self, packages, magic, codes, sources):
        self._packages = packages
        self._is_code = magic == MAGIC_NUMBER
        self._modules = marshal.loads(zlib.decompress(codes if self._is_code else sources))  # noqa: S302 - as the code itself

    def find_spec(self, name, _path=None, _target=None):
        if name not in self._modules:
            return None
        return ModuleSpec(name, self, is_package=name in self._packages)

    def create_module(self, _spec):
        return None

    def exec_module(self, module):
        name = module.__name__
        code = self._modules[name] if self._is_code else compile(self._modules[name], name, "exec", dont_inherit=True)
        exec(marshal.loads(code) if self._is_code else code, module.__dict__)  # noqa: S102, S302 - as each import does


def install(packages, magic, codes, sources):
    """Let what is imported from now on be looked for there first."""
    sys.meta_path.insert(0, Modules(packages, magic, codes, sources))
