# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Questions to systemd over the socket on which it answers root, as systemctl asks them: without a program, whose start
takes longer than the answer.

What is spoken there is D-Bus, between two: a question, whose answer comes after signals that nobody asked for.
"""

from __future__ import annotations

import socket
import struct
import sys

_SOCKET = "/run/systemd/private"
_SECONDS = 20
# "0", root's number, in hexadecimal digits.
_HELLO = b"\0AUTH EXTERNAL 30\r\nBEGIN\r\n"
_WELCOME = b"OK "
_ORDER = b"l" if sys.byteorder == "little" else b"B"
_CALL, _ANSWER, _ERROR = 1, 2, 3
_START = struct.Struct("=cBBBIII")
_PATH, _INTERFACE, _MEMBER, _DESTINATION, _SIGNATURE = 1, 2, 3, 6, 8
_MANAGER = "org.freedesktop.systemd1.Manager"
# What a socket, and an answer that is not as expected, may raise.
_NOT_ANSWERED = (OSError, ValueError, IndexError, struct.error)


def units(states):
    """[(name, active, sub)] of the units that are in one of these states; None where systemd does not say so here."""
    question = _Writer()
    question.strings(states)
    question.strings([])
    return _ask(_MANAGER, "ListUnitsByPatterns", "asas", question, _units)


def environment():
    """["PATH=/usr/bin", ...] that systemd gives to units; None where it does not say so here."""
    question = _Writer()
    question.string(_MANAGER)
    question.string("Environment")
    return _ask("org.freedesktop.DBus.Properties", "Get", "ss", question, _variant_of_strings)


def _ask(interface, member, signature, question, understand):
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as systemd:
            systemd.settimeout(_SECONDS)
            systemd.connect(_SOCKET)
            systemd.sendall(_HELLO)
            with systemd.makefile("rb") as stream:
                if not stream.readline().startswith(_WELCOME):
                    return None
                systemd.sendall(call(interface, member, signature, bytes(question.data)))
                return understand(_Reader(answer(stream)))
    except _NOT_ANSWERED:
        return None


def call(interface, member, signature, body):
    """The message that calls a method of systemd's manager."""
    fields = _Writer()
    for number, kind, value in (
        (_PATH, "o", "/org/freedesktop/systemd1"),
        (_INTERFACE, "s", interface),
        (_MEMBER, "s", member),
        (_DESTINATION, "s", "org.freedesktop.systemd1"),
        (_SIGNATURE, "g", signature),
    ):
        fields.align(8)
        fields.data += bytes([number])
        fields.signature(kind)
        if kind == "g":
            fields.signature(value)
        else:
            fields.string(value)
    head = _START.pack(_ORDER, _CALL, 0, 1, len(body), 1, len(fields.data))
    fields.align(8)
    return head + bytes(fields.data) + body


def answer(stream):
    """The body of the answer, from what systemd sends. ValueError of an error, or of another order of bytes."""
    while True:
        order, kind, _flags, _version, size, _serial, fields = _START.unpack(_read(stream, _START.size))
        if order != _ORDER:
            raise ValueError("another order of bytes")
        _read(stream, fields + -fields % 8)
        body = _read(stream, size)
        if kind == _ANSWER:
            return body
        if kind == _ERROR:
            raise ValueError("not answered")


def _read(stream, size):
    data = stream.read(size)
    if len(data) != size:
        raise ValueError("cut short")
    return data


def _units(reader):
    """Of each unit: name, description, load, active, sub, followed, path, job's number, kind and path."""
    found = []
    end = reader.array(8)
    while reader.at < end:
        reader.align(8)
        name, _description, _load, active, sub, _followed, _path = [reader.string() for _field in range(7)]
        reader.number()
        reader.string()
        reader.string()
        found.append((name, active, sub))
    return found


def _variant_of_strings(reader):
    if reader.signature() != "as":
        raise ValueError("no strings")
    found = []
    end = reader.array(4)
    while reader.at < end:
        found.append(reader.string())
    return found


class _Writer:
    """A message's part, which begins at a multiple of eight bytes."""

    def __init__(self):
        self.data = bytearray()

    def align(self, size):
        self.data += bytes(-len(self.data) % size)

    def string(self, text):
        self.align(4)
        data = text.encode("utf-8")
        self.data += struct.pack("=I", len(data)) + data + b"\0"

    def signature(self, text):
        self.data += bytes([len(text)]) + text.encode("ascii") + b"\0"

    def strings(self, texts):
        self.align(4)
        inner = _Writer()
        for text in texts:
            inner.string(text)
        self.data += struct.pack("=I", len(inner.data)) + inner.data


class _Reader:
    """A message's body."""

    def __init__(self, data):
        self._data = data
        self.at = 0

    def align(self, size):
        self.at += -self.at % size

    def number(self):
        self.align(4)
        (found,) = struct.unpack_from("=I", self._data, self.at)
        self.at += 4
        return found

    def _text(self, size):
        found = self._data[self.at : self.at + size]
        self.at += size + 1
        if self.at > len(self._data):
            raise ValueError("cut short")
        return found.decode("utf-8")

    def string(self):
        return self._text(self.number())

    def signature(self):
        self.at += 1
        return self._text(self._data[self.at - 1])

    def array(self, alignment):
        """Where it ends. It is at its first element then."""
        size = self.number()
        self.align(alignment)
        return self.at + size
