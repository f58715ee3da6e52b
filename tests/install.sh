#!/usr/bin/env bash
# Install Debian packages that tests need and that are not there yet: tests/install.sh PACKAGE...
# Nothing of theirs is started, now or at the next boot.
set -euo pipefail

missing=()
for package in "$@"; do
    [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
done
((${#missing[@]})) || exit 0

if ! command -v apt-get >/dev/null; then
    echo "error: ${missing[*]} missing, and no apt-get here to install them: Debian and its relatives only" >&2
    exit 1
fi
if ((EUID)); then
    echo "error: ${missing[*]} missing: run this as root to install them" >&2
    exit 1
fi

# Debian's packages ask this script before they start a service; 101 says no.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -q update
apt-get -q install --yes --no-install-recommends "${missing[@]}"

# Nor at the next boot, those that were not here before.
if command -v systemctl >/dev/null; then
    for package in "${missing[@]}"; do
        for unit in $(dpkg --listfiles "$package" | grep '/systemd/system/[^/@]*\.service$'); do
            [[ -L $unit ]] || systemctl disable --quiet "${unit##*/}"  # others are only names of one
        done
    done
fi
