#!/usr/bin/env bash
# Install Chromium from Debian's packages, for the tests in this folder, and letters for it to write with.
exec "$(dirname "$0")/../install.sh" chromium fonts-dejavu-core
