#!/usr/bin/env bash
# Space rehearsal: a copy of the last commit, a fresh environment from requirements.txt alone, an unprivileged user,
# read-only code and no network. The page must start and localize. Linux, as root:
#
#     tests/space/rehearse.sh [more options for pip install]
#
# Needs git, util-linux (unshare, setpriv) and iproute2, and a Python that any user may run (PYTHON names another than
# python3). Takes minutes, most of them for pip.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/code" "$work/home"
git archive HEAD | tar -x -C "$work/code"
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet -r "$work/code/requirements.txt" "$@"
chmod -R a-w,a+rX "$work/code"
chmod 755 "$work"
chown 65534:65534 "$work/home"
unshare --net bash -c '
    ip link set lo up
    cd "$1/code"
    exec setpriv --reuid=65534 --regid=65534 --clear-groups env -i PATH="$PATH" HOME="$1/home" TMPDIR="$1/home" \
        PYTHONDONTWRITEBYTECODE=1 GRADIO_SERVER_NAME=127.0.0.1 GRADIO_SERVER_PORT=7860 \
        "$1/venv/bin/python" tests/space/rehearse.py
' bash "$work"
