#!/usr/bin/env bash
# Install SLURM, munge and MariaDB from Debian's packages, for `python -m tests.slurm` and the tests in this folder.
# Nothing of theirs is started: the test cluster runs its own copies, all in one folder.
set -euo pipefail

wanted=(munge mariadb-server slurmctld slurmd slurm-client slurmdbd)
missing=()
for package in "${wanted[@]}"; do
    [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
done
((${#missing[@]})) || exit 0

if ! command -v apt-get >/dev/null; then
    echo "error: ${missing[*]} missing, and no apt-get here to install them: Debian and its relatives only" >&2
    exit 1
fi
if ((EUID)); then
    echo "error: ${missing[*]} missing: run $0 as root to install them" >&2
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
        case $package in
        slurm-client) ;;
        mariadb-server) systemctl disable --quiet mariadb ;;
        *) systemctl disable --quiet "$package" ;;
        esac
    done
fi
