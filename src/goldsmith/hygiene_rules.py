"""What must not be in an image, as tables: the checks, and which paths and contents offend against them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from goldsmith.tree import Tree


@dataclass(frozen=True)
class Check:
    """One thing that an image must be free of, and what to do where it is not.

    `in_bytes`: it may not lie in a Docker image's lower layers either, though no machine that is made from the image
    has it; for everybody who has the image can read it.
    """

    what: str
    do: str
    in_bytes: bool = False


CHECKS = {
    "ssh-host-keys": Check(
        "host keys, which every machine made from the image would share",
        "the role seal removes them, and first_boot makes each machine's own",
        in_bytes=True,
    ),
    "machine-id": Check(
        "an identity that every machine made from the image would share",
        "the role seal empties /etc/machine-id and removes the others: each machine makes its own",
    ),
    "authorized-keys": Check(
        "keys for the account that the build logs in with",
        "the role seal removes them (seal_authorized_keys_of); give people accounts of their own",
    ),
    "build-user": Check("an account that was made for building", "remove it at the definition's end"),
    "cloud-instance-data": Check(
        "what a cloud said to the machine of the build",
        "the role seal has cloud-init forget it; remove network settings that cloud-init wrote",
        in_bytes=True,
    ),
    "history": Check(
        "what somebody typed, looked for or visited",
        "the role seal removes those in /root and /home; remove the others",
        in_bytes=True,
    ),
    "dhcp-leases": Check(
        "addresses and names that the machine of the build was lent",
        "the role seal removes Debian's; remove the others",
    ),
    "logs": Check("logs of the build, which no machine made from the image wrote", "the role seal empties them"),
    "secrets": Check(
        "private keys, passwords and tokens, which everybody who has the image can read",
        "have it brought to each machine, or made there at its first boot",
        in_bytes=True,
    ),
    "random-seed": Check(
        "a seed or key that every machine made from the image would share",
        "the role seal removes systemd's; remove the others",
    ),
    "build-leftovers": Check("files and settings that were for the build alone", "remove it at the definition's end"),
}
"""Check by name. docs/hygiene.md lists them."""


@dataclass(frozen=True)
class Rule:
    """A file offends if its whole path fits, it is not empty, and `says` (if given) is found in it.

    With `links`, a symbolic link of that name does too. Says in words `what` was found.
    """

    check: str
    path: str
    what: str
    says: str = ""
    links: bool = False

    def fits(self, content: bytes) -> bool:
        """Whether a file of that name offends by what it says."""
        return re.search(self.says.encode(), content) is not None


_WORD = r"(?i:pass(?:word|wd|phrase)|_pwd|token|secret|credentials?|(?:api|access|private|secret)_?key)"
_NO_VALUE = r"(?!(?i:yes|no|true|false|none|null|[01])[\"']?(?:\s|\Z)|/[\w.-]+/)"
SECRET_SETTING = re.compile(rf"\b(?P<name>\w*{_WORD})\s*=[ \t]*[\"']?{_NO_VALUE}[^\s\"'$<{{]")
"""`DB_PASSWORD=x`. Not where the value is a path, another variable, a placeholder or a switch."""
CREDENTIALS_IN_URL = re.compile(r"\w://[^\s:/@\"'<$]+:[^\s/@\"'<$]+@")
PROXY_SETTING = re.compile(r"\b(?i:(?:https?|ftp|all)_proxy)\s*=[ \t]*[\"']?\w")

_IDENTITY = (
    Rule("ssh-host-keys", r"/etc/ssh/ssh_host_[^/]*key[^/]*", "an SSH host key"),
    Rule("ssh-host-keys", r"/etc/dropbear/dropbear_[^/]*key", "an SSH host key"),
    Rule("machine-id", r"/etc/machine-id", "a machine id", r"\A\s*(?!uninitialized\s*\Z)\S"),
    Rule("machine-id", r"/var/lib/dbus/machine-id", "D-Bus's copy of a machine id"),
    Rule("machine-id", r"/etc/docker/key\.json|/var/lib/docker/engine-id", "a Docker engine's identity"),
    Rule("random-seed", r"/var/lib/(systemd|urandom)/random-seed", "a seed for random numbers"),
    Rule("random-seed", r"(/boot|/efi|/boot/efi)/loader/random-seed", "a seed for random numbers"),
    Rule("random-seed", r"/var/lib/systemd/credential\.secret", "the key of this machine's credentials"),
    Rule("random-seed", r"/var/lib/NetworkManager/secret_key", "the key of this machine's addresses"),
)

_CLOUD = (
    Rule("cloud-instance-data", r"/var/lib/cloud/instance", "the instance that it was", links=True),
    Rule(
        "cloud-instance-data",
        r"/var/lib/cloud/(data|instances|sem)/.*",
        "cloud-init's memory of an instance",
        links=True,
    ),
    Rule("cloud-instance-data", r"/run/cloud-init/.*", "cloud-init's memory of an instance", links=True),
    Rule("cloud-instance-data", r"/etc/netplan/50-cloud-init\.yaml", "an instance's network"),
    Rule("cloud-instance-data", r"/etc/network/interfaces\.d/50-cloud-init(\.cfg)?", "an instance's network"),
    Rule("cloud-instance-data", r"/var/lib/waagent/.*", "Azure's agent's memory of an instance"),
    Rule("cloud-instance-data", r"/var/lib/amazon/ssm/.*", "Amazon's agent's memory of an instance"),
)

_TRACES = (
    Rule("history", r".*/\.[\w-]*history", "a history of commands"),
    Rule("history", r".*/\.(histfile|lesshst|viminfo|wget-hsts)", "a history"),
    Rule("history", r".*/\.local/(share|state)/.*(history|hst)", "a history"),
    Rule("dhcp-leases", r"/var/lib/(dhcp|dhclient|dhcpcd)/.*", "a lease"),
    Rule("dhcp-leases", r"/var/lib/NetworkManager/.*lease.*", "a lease"),
    Rule("dhcp-leases", r"(/run/systemd/netif|/var/lib/systemd/network)/.*", "a lease"),
    Rule("logs", r"/var/log/.*", "a log"),
    Rule("logs", r"/run/log/.*", "a log"),
    Rule("build-user", r"/etc/passwd", "an account packer or vagrant", r"(?m)^(packer|vagrant):"),
    Rule("build-leftovers", r"(/tmp|/var/tmp)/((packer|\.?ansible).*|script_\d+\.sh)", "Packer's or Ansible's file"),
    Rule("build-leftovers", r".*/\.ansible(/tmp|_async)/.*", "Ansible's file"),
    Rule(
        "build-leftovers",
        r"/etc/apt/apt\.conf(\.d/.*)?",
        "a proxy",
        r"(?im)^(?!\s*(?://|#)).*\bproxy\b[^\"\n]*\"\s*(?:https?|ftp|socks\w*)://",
    ),
    Rule(
        "build-leftovers",
        r"/etc/(environment|profile|profile\.d/.*|bash\.bashrc|environment\.d/.*)",
        "a proxy",
        rf"(?m)^\s*(?:export\s+)?{PROXY_SETTING.pattern}",
    ),
    Rule(
        "build-leftovers",
        r"/etc/systemd/.*\.(conf|service)",
        "a proxy",
        rf"(?m)^\s*(?:Default)?Environment=.*{PROXY_SETTING.pattern}",
    ),
)

_SECRETS = (
    Rule("secrets", r".*/\.aws/credentials", "an Amazon key", r"aws_secret_access_key\s*=[ \t]*\S"),
    Rule("secrets", r".*/\.azure/(accessTokens|msal_token_cache).*", "an Azure token"),
    Rule("secrets", r".*/\.config/gcloud/(.*credentials.*|access_tokens\.db)", "a Google credential"),
    Rule("secrets", r".*/\.(boto|s3cfg)", "a cloud's key", r"(?m)^\s*\w*secret(_access)?_key\s*=[ \t]*\S"),
    Rule("secrets", r".*/\.config/doctl/config\.yaml", "a DigitalOcean token", r"access-token:[ \t]*\S"),
    Rule("secrets", r".*/\.config/gh/hosts\.yml", "a GitHub token", r"oauth_token:[ \t]*\S"),
    Rule(
        "secrets",
        r".*/(\.docker/config|containers/auth)\.json",
        "a registry's password",
        r"\"(auth|identitytoken|registrytoken|password)\"\s*:\s*\"[^\"]",
    ),
    Rule("secrets", r".*/\.git-credentials", "a password", CREDENTIALS_IN_URL.pattern),
    Rule("secrets", r".*/\.gnupg/(private-keys-v1\.d/.*|secring\.gpg)", "a private key"),
    Rule(
        "secrets",
        r".*/\.kube/config",
        "a cluster's credential",
        r"(?m)^[\s-]*(token|password|client-key-data):[ \t]*\S",
    ),
    Rule("secrets", r".*/\.my\.cnf", "a password", r"(?m)^\s*password\s*=[ \t]*\S"),
    Rule("secrets", r".*/\.netrc|/etc/apt/auth\.conf(\.d/.*)?", "a password", r"(?m)^[^#\n]*\bpassword\s+\S"),
    Rule("secrets", r".*/\.?npmrc", "a token", r"(?m)^[^#;\n]*_(auth|authToken|password)\s*=[ \t]*\S"),
    Rule("secrets", r".*/\.pgpass", "a password", r"(?m)^[^#\n]+:[^:\n]+$"),
    Rule("secrets", r".*/\.pypirc", "a password", r"(?m)^\s*password\s*[=:][ \t]*\S"),
    Rule("secrets", r".*/\.terraform\.d/credentials\.tfrc\.json", "a token", r"\"token\""),
    Rule("secrets", r".*/\.vault-token", "a token"),
    Rule("secrets", r".*/[^/]+\.(keytab|p12|pfx)", "a private key"),
    Rule(
        "secrets",
        r"/etc/(wireguard|wpa_supplicant|NetworkManager/system-connections)/.*",
        "a network's key",
        r"(?m)^\s*(PrivateKey|private-key|psk|password)\s*=[ \t]*\S",
    ),
    Rule("secrets", r".*/\.?(ansible[_-])?vault[_-]?pass(word)?([_-]?file)?(\.txt)?", "a vault's password"),
    Rule(
        "secrets",
        r"/etc/apt/sources\.list(\.d/.*)?|.*/(pip\.conf|\.?gitconfig)",
        "a password in an address",
        rf"(?m)^[^#\n]*{CREDENTIALS_IN_URL.pattern}",
    ),
    Rule(
        "secrets",
        r"/etc/(environment|default/.*|environment\.d/.*|profile\.d/.*)|.*/[^/]*\.env",
        "a password or token",
        rf"(?m)^\s*(?:export\s+)?{SECRET_SETTING.pattern}",
    ),
)

RULES = (*_IDENTITY, *_CLOUD, *_TRACES, *_SECRETS)
"""All but the keys of the builder, which depend on where it has its home."""

PACKAGED = re.compile(r"/usr/(?!local/)")
"""There lies what packages bring: no rule looks there, but for private keys every file is read."""

SEARCHED = 1 << 20
"""Bytes of the largest file that is read for private keys and tokens."""

_PRIVATE_KEY = re.compile(
    rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----(?:\s|\\[nr])*(?:[\w-]+: [^\n]*\n\s*)*[A-Za-z0-9+/=]{40}"
)
_PUTTY_KEY = re.compile(rb"^PuTTY-User-Key-File-\d", re.MULTILINE)
_TOKEN = re.compile(
    rb"\b(?:gh[opurs]_[A-Za-z0-9]{36}|github_pat_\w{60}|glpat-[\w-]{20}|xox[abprs]-[\w-]{20}|dop_v1_[a-f0-9]{64}"
    rb"|AIza[\w-]{35}|(?i:aws_secret_access_key)[\"']?\s*[=:][ \t]*[\"']?[A-Za-z0-9/+]{40})"
)


def found_in(content: bytes, path: str) -> str:
    """What of a secret can be told by its form alone, in any file: in words, or empty."""
    # A pattern that does not begin with plain text takes long to search for.
    if b"PRIVATE KEY" in content and _PRIVATE_KEY.search(content):
        return "a private key"
    if b"PuTTY-User-Key-File-" in content and _PUTTY_KEY.search(content):
        return "a private key"
    if not PACKAGED.match(path) and _TOKEN.search(content):
        return "a token of a cloud or a code host"
    return ""


def builders(tree: Tree) -> Iterator[Rule]:
    """Rules for the keys of those who log in to build: every account with root's number, packer and vagrant."""
    homes = {"root": "/root"}
    passwd = tree.files.get("/etc/passwd")
    for line in passwd.read().decode(errors="replace").splitlines() if passwd and passwd.kind == "file" else ():
        fields = line.split(":")
        if len(fields) > 5 and (fields[2] == "0" or fields[0] in ("packer", "vagrant")):
            homes[fields[0]] = fields[5].rstrip("/")
    for name, home in homes.items():
        path = rf"{re.escape(home)}/\.ssh/authorized_keys2?|/etc/ssh/authorized_keys(\.d)?/{re.escape(name)}"
        yield Rule("authorized-keys", path, f"keys that open {name}'s account", r"(?m)^\s*[^#\s]")
