"""Goldsmith: golden images and live hosts from one set of Ansible roles, and the proof that they are equal."""

__version__ = "0.2.0"
