#!/bin/sh
# Make the virtual environment $1 with the interpreter $PYTHON, or with the best one that is on the PATH.
# A Python that is too old, or that came without venv, gets one line that says what to do.
set -eu
venv=$1

ask() { "$1" -c "import sys; sys.exit(not ($2))" 2>/dev/null; }

if [ -n "${PYTHON:-}" ]; then
    candidates=$PYTHON
else
    # 3.14 and later come last: the local speech recogniser has no wheel there (docs/dependencies.md).
    candidates=
    for each in python3 python3.13 python3.12 python3.11 python; do
        if ask "$each" "(3, 11) <= sys.version_info[:2] <= (3, 13)"; then candidates="$candidates $each"; fi
    done
    candidates="$candidates python3 python"
fi

for each in $candidates; do
    if ask "$each" "sys.version_info >= (3, 11)"; then
        chosen=$each
        break
    fi
done
if [ -z "${chosen:-}" ]; then
    echo "repartee needs Python 3.11 or newer; none of these is:$(printf ' %s' $candidates)" >&2
    echo "Install one (for instance: apt install python3.13 python3.13-venv), or name it: make setup PYTHON=/path/to/python3.13" >&2
    exit 1
fi
if ! "$chosen" -c "import venv, ensurepip" 2>/dev/null; then
    version=$("$chosen" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    echo "$chosen has no venv module. Debian and Ubuntu ship it apart: apt install python$version-venv" >&2
    exit 1
fi
echo "making $venv with $("$chosen" --version)"
"$chosen" -m venv --clear "$venv"
