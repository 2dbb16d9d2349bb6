# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Section certificates: the authorities that programs trust, each by its digest."""

from __future__ import annotations

import base64
import binascii
import re

from . import digest, paths, settings
from .tree import LINK

BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
_FOLDER = "/etc/ssl/certs"
# A machine's own self-signed certificate, which differs between machines: no authority.
_OWN = "ssl-cert-snakeoil.pem"

_BEGINS = (b"CERTIFICATE-----", b"TRUSTED CERTIFICATE-----", b"X509 CERTIFICATE-----")
_HASH = re.compile(r"[0-9a-f]{8}\.\d+$")
_NAMES = {
    b"\x55\x04\x03": "CN",
    b"\x55\x04\x05": "serialNumber",
    b"\x55\x04\x06": "C",
    b"\x55\x04\x07": "L",
    b"\x55\x04\x08": "ST",
    b"\x55\x04\x0a": "O",
    b"\x55\x04\x0b": "OU",
    b"\x55\x04\x61": "organizationIdentifier",
    b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01": "emailAddress",
}


def collect(tree):
    """{"ISRG Root X1 96bcec06264976f3": {"sha256": "96bcec06…", "subject": "C=US, O=…, CN=ISRG Root X1",
    "trusted": ["bundle", "folder"]}}

    bundle: in ca-certificates.crt; folder: reached by a name made of its hash, as OpenSSL looks it up.
    """
    found = {}
    for data in certificates(tree.read(BUNDLE) or b""):
        _add(found, data, "bundle")
    for name in tree.children(_FOLDER):
        path = _FOLDER + "/" + name
        entry = tree.entries[path]
        if _HASH.match(name) and not (entry.type == LINK and entry.target.endswith(_OWN)):
            for data in certificates(tree.read(path) or b""):
                _add(found, data, "folder")
    return found


def certificates(text):
    """The DER bytes of each certificate in a PEM file; what is no base64 is left out."""
    found = []
    for block in text[: settings.LIMIT].split(b"-----BEGIN ")[1:]:
        if not block.startswith(_BEGINS):
            continue
        body = block.partition(b"-----")[2].partition(b"-----END ")[0]
        try:
            found.append(base64.b64decode(b"".join(body.split()), validate=True))
        except (binascii.Error, ValueError):
            continue
    return found


def _add(found, data, where):
    sha256 = digest.of_bytes(data)
    parts = subject(data)
    name = dict(reversed(parts)).get("CN") or (parts[-1][1] if parts else "?")
    entry = found.setdefault(
        paths.printable(name) + " " + sha256[:16],
        {"sha256": sha256, "subject": ", ".join("%s=%s" % part for part in parts), "trusted": []},
    )
    entry["trusted"] = sorted({*entry["trusted"], where})


def subject(data):
    """[("O", "Internet Security Research Group"), ("CN", "ISRG Root X1")] of a certificate; empty if it is none."""
    try:
        inner = _element(_element(data, 0)[1], 0)[1]
        fields = _elements(inner)
        if fields[0][0] == 0xA0:
            fields = fields[1:]
        # Serial number, signature algorithm, issuer, validity, subject.
        names = _elements(fields[4][1])
        return [pair for _tag, one in names for _set, each in _elements(one) for pair in _name(_elements(each))]
    except (IndexError, ValueError):
        return []


def _name(pair):
    (_tag, kind), (tag, value) = pair[:2]
    if kind not in _NAMES:
        return []
    return [(_NAMES[kind], value.decode("utf-16-be" if tag == 0x1E else "utf-8", "replace"))]


def _elements(data):
    found = []
    at = 0
    while at < len(data):
        tag, value, at = _element(data, at)
        found.append((tag, value))
    return found


def _element(data, at):
    """(tag, value, where the next one begins) of DER. Raises IndexError or ValueError where it is none."""
    tag, length = data[at], data[at + 1]
    at += 2
    if length & 0x80:
        count = length & 0x7F
        if not 0 < count <= 4:
            raise ValueError(length)
        length = int.from_bytes(data[at : at + count], "big")
        at += count
    if at + length > len(data):
        raise ValueError(length)
    return tag, data[at : at + length], at + length
