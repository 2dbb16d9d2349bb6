# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Questions to the kernel by netlink: all that there is of a kind, in one answer, without a program."""

from __future__ import annotations

import os
import socket
import struct

ROUTE = 0
SOCKETS = 4
NETFILTER = 12

_REQUEST_DUMP = 0x301
_ERROR = 2
_DONE = 3
_HEADER = struct.Struct("=IHHII")
_SECONDS = 5


def dump(protocol, kind, body):
    """What the kernel says of each thing, [b"...", ...], to a question of this kind; `body` is the question's own part.

    Raises OSError where it refuses, or does not know such things.
    """
    question = _HEADER.pack(_HEADER.size + len(body), kind, _REQUEST_DUMP, 1, 0) + body
    found = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as kernel:
        kernel.settimeout(_SECONDS)
        kernel.send(question)
        while True:
            answer = kernel.recv(1 << 18)
            for what, payload in messages(answer):
                if what not in (_ERROR, _DONE):
                    found.append(payload)
                    continue
                number = -struct.unpack_from("=i", payload)[0]
                if number:
                    raise OSError(number, "the kernel does not tell: " + os.strerror(number))
                return found


def messages(answer):
    """(kind, payload) of each message. Raises struct.error where one is cut short."""
    at = 0
    while at < len(answer):
        length, kind, _flags, _sequence, _port = _HEADER.unpack_from(answer, at)
        if not _HEADER.size <= length <= len(answer) - at:
            raise struct.error("a message is cut short")
        yield kind, answer[at + _HEADER.size : at + length]
        at += -(-length // 4) * 4


def attributes(data):
    """{number: b"value"}, from what follows a message's fixed part."""
    found = {}
    at = 0
    while at + 4 <= len(data):
        length, number = struct.unpack_from("=HH", data, at)
        if not 4 <= length <= len(data) - at:
            raise struct.error("an attribute is cut short")
        found[number & 0x3FFF] = data[at + 4 : at + length]
        at += -(-length // 4) * 4
    return found
