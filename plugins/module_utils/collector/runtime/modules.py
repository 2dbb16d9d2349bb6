# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Section modules: what is loaded into the kernel. Absent in a container: they are the host's.

Of the loaded ones, those count that nothing else loaded needs (the rest follow from them), but for those that the
kernel loads by itself when somebody uses what they are for: they are there today and not after the next boot.
"""

from __future__ import annotations

import re

_ON_USE = re.compile(
    "|".join(
        [
            r"\w+_diag",  # `ss` looks.
            # Something is mounted, or a boot loader looks for other systems.
            r"nls_\w+|udf|isofs|vfat|msdos|fat|ext2|jfs|xfs|btrfs|f2fs|ntfs3?|hfs|hfsplus|minix|qnx4|ufs|reiserfs",
            r"fuse|cuse|overlay|squashfs|loop|nbd|autofs4|binfmt_misc|configfs|pstore|efi_pstore|efivarfs",
            r"nfs\w*|lockd|grace|sunrpc|cifs\w*|fscache|netfs|rpcsec_gss_krb5|auth_rpcgss",
            # Rules of the packet filter, which the section firewall has; networks of machines and containers.
            r"nf_\w+|nft_\w+|xt_\w+|x_tables|ip6?_tables|ip6?table_\w+|nfnetlink\w*|ip_set\w*|ebtable\w*|ebt_\w+",
            r"arp\w*_tables",
            r"bridge|br_netfilter|stp|llc|veth|tun|tap|macvtap|macvlan|vhost\w*|kvm\w*|irqbypass|ifb|act_\w+|cls_\w+|sch_\w+",
            # Disks are looked for.
            r"dm_\w+|raid\w+|md_mod|linear|multipath|async_\w+|xor",
            # A socket of that kind is opened, or something is encrypted.
            r"tls|af_packet|packet|algif_\w+|af_alg|af_key|xfrm\w*|\w*vsock\w*",
            r"crc\w+|libcrc\w+|lib\w+|zstd\w*|lz4\w*|lzo\w*|zram|zsmalloc",
            r"(aes|sha\d*|md4|md5|hmac|cmac|ccm|gcm|ctr|ecb|cbc|xts|ghash|des|arc4|blake2\w|chacha\w*|poly\w*|crypto|crypt\w*"
            r"|drbg|jitterentropy\w*|ecdh|ecc|curve\w+|authenc\w*|echainiv|seqiv|cts|twofish|serpent|cast\w|camellia|nhpoly\w*"
            r"|michael_mic|essiv|ansi_cprng|null)(_\w+)?",
            r"tcp_(bbr|cubic|htcp|vegas|westwood|dctcp|illinois|reno|nv|lp|scalable|veno|yeah|bic|cdg|hybla|highspeed)",
            # Something is plugged in.
            r"usb\w*|uas|hid\w*|sr_mod|cdrom|sg|joydev|mousedev|evdev|uinput|cdc_\w+|snd\w*|media|videodev|uvcvideo",
        ]
    )
)


def collect():
    """{"dummy": {"taint": "OE"}}: the letters that the kernel marks a module with, where it does.

    {} where the kernel takes no modules.
    """
    try:
        with open("/proc/modules", "rb") as source:
            return parse(source.read().decode("ascii", "replace"))
    except FileNotFoundError:
        return {}


def parse(text):
    """From /proc/modules: `dummy 16384 0 - Live 0x0000000000000000 (OE)`."""
    found = {}
    for line in text.split("\n"):
        fields = line.split()
        if len(fields) < 6 or fields[3] not in ("-", "[permanent],") or _ON_USE.fullmatch(fields[0]):
            continue
        found[fields[0]] = {"taint": fields[6].strip("()")} if len(fields) > 6 else {}
    return found
