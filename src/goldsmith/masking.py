"""Text that people may see: what looks like a secret is replaced by a number, the same for the same secret. Pure."""

from __future__ import annotations

import re

WHOLE = re.compile(
    r"/etc/g?shadow-?|/var/backups/g?shadow\.bak|/etc/ppp/(chap|pap)-secrets|/etc/security/opasswd"
    r"|/var/lib/systemd/(credential\.secret|random-seed)"
    r"|.*/(\.pgpass|\.git-credentials|\.vault-token|\.erlang\.cookie|\.?htpasswd|\.?(ansible[_-])?vault[_-]?pass[\w.-]*)"
    r"|.*\.(keytab|p12|pfx|jks|keystore)"
)
"""Paths of files that are nothing but secrets."""

_NAME = (
    r"(?:pass(?!ive|through|enger|age)(?:wd|word|phrase|code)?|pwd|secret|token|credential|cookie|psk|community"
    r"|(?:api|access|private|auth|encryption|signing|shared|host|account|master|session)[_.-]?key|masterauth)"
)
_LONG = rf"[\w.-]{{0,99}}{_NAME}[\w.-]{{0,99}}"
_PATH = r"/(?:etc|usr|var|opt|home|srv|root|run)/"
_VALUE = r"\"(?:[^\"\\]|\\.)*\"|'[^']*'|[^\n\\]*(?:\\\n?[^\n\\]*)*"
# Repetitions have an end, and begin at a word's: a long line must not take minutes.
_PATTERNS = tuple(
    re.compile(pattern, flags)
    for pattern, flags in (
        # A private key, to its end or that of the file.
        (
            r"(?P<keep>-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----)"
            r"(?P<secret>.*?)(?=-----END [A-Z0-9 ]*PRIVATE KEY|\Z)",
            re.DOTALL,
        ),
        (r"(?P<keep>^Private-Lines: \d+\n)(?P<secret>.*)\Z", re.DOTALL | re.MULTILINE),
        # A YAML block or list below a name that says so.
        (
            rf"(?P<keep>^(?P<indent>[ \t]*)(?:- )?[\"']?{_LONG}[\"']?:[ \t]*(?:[|>][-+\d]*)?[ \t]*\n)"
            r"(?P<secret>(?:(?P=indent)[ \t]+[^\n]*\n?|[ \t]*\n)+)",
            re.IGNORECASE | re.MULTILINE,
        ),
        (rf"(?P<keep><[\w:.-]{{0,99}}{_NAME}[^>]{{0,99}}>)(?P<secret>[^<]+)", re.IGNORECASE),
        (
            rf"(?P<keep>(?<![\w.-]){_LONG}[\"']?\]?[ \t]*(?:=>|:=|[=:])[ \t]*)(?P<secret>{_VALUE})",
            re.IGNORECASE,
        ),
        # `requirepass x`, `password x`; not PAM's `password required`.
        (
            r"(?P<keep>(?<![\w/.-])(?:--?)?(?:password|passwd|passphrase|requirepass|masterauth|secret|psk|token"
            r"|[\w-]*[_-](?:password|secret|token|key))[ \t]+)"
            rf"(?P<secret>(?!required|requisite|sufficient|optional|include|substack|[\[=:]|{_PATH})[^\s;]+)",
            re.IGNORECASE,
        ),
        (r"(?P<keep>(?:^|\s)(?:-u|--user)[ =]+[^\s:]+:)(?P<secret>\S+)", 0),
        (r"(?P<keep>(?<![a-z0-9+.-])[a-z][a-z0-9+.-]{0,30}://[^/\s:@'\"]*:)(?P<secret>[^\s@'\"]+)(?=@)", re.IGNORECASE),
        (r"(?P<keep>\b(?:bearer|basic)\s+)(?P<secret>[\w.~+/=-]{8,})", re.IGNORECASE),
        # By their form alone: password hashes, and tokens of clouds and code hosts.
        (r"(?P<keep>)(?P<secret>\$[0-9a-z-]{1,16}\$[^\s:'\"]{8,})", 0),
        (r"(?P<keep>\{(?:S?SHA\d*|S?MD5|CRYPT|PBKDF2[\w-]*)\})(?P<secret>[^\s:'\"]+)", re.IGNORECASE),
        (
            r"(?P<keep>)(?P<secret>(?<![\w-])(?:gh[opurs]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[abeprs]-[\w-]{10,}"
            r"|dop_v1_[a-f0-9]{32,}|AIza[\w-]{30,}|A[KS]IA[A-Z0-9]{16}|sk-[\w-]{20,}|npm_\w{30,}"
            r"|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*))",
            0,
        ),
    )
)
_NO_SECRET = re.compile(r"|[|>][-+\d]*|[\"']?\[masked \d+\][\"']?")


class Masks:
    """Numbers for secrets: equal ones have the same, so that what changed can be seen and what it is can not."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def text(self, text: str) -> str:
        """The text, masked. More may be masked than is secret; lines are kept, but for those within a secret."""
        for pattern in _PATTERNS:
            text = pattern.sub(self._replace, text)
        return text

    def _replace(self, match: re.Match[str]) -> str:
        secret = match["secret"]
        bare = secret.strip().strip("\"'")
        if _NO_SECRET.fullmatch(bare):
            return match[0]
        number = self._numbers.setdefault(bare, len(self._numbers) + 1)
        before, after = ("\n" if "\n" in secret[:1] else "", "\n" if secret.endswith("\n") else "")
        return f"{match['keep']}{before}[masked {number}]{after}"
