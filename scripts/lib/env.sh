# Sourced by the scripts beside this folder, with the project as working directory.
# `prepare_env` makes .venv from requirements/dev.lock and sets `python` to its interpreter.
# `prepare_demo_env` does with less: .venv when it is there and current, else .venv-demo from
# requirements/demo.lock.
# shellcheck shell=bash

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

die() {
    say "$*"
    exit 1
}

usable_python() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

minor_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

# Succeeds only where nobody has to be asked: as root, with apt-get.
apt_install() {
    [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null || return 1
    say "installing $* with apt-get"
    local quiet=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120)
    { "${quiet[@]}" update && "${quiet[@]}" install -y --no-install-recommends "$@"; } >/dev/null </dev/null
}

# Prints the interpreter to build .venv with: $PYTHON when set, else the first that is new enough.
find_python() {
    local candidate
    if [[ -n ${PYTHON:-} ]]; then
        usable_python "$PYTHON" || die "PYTHON=$PYTHON is not Python 3.11 or newer"
        printf '%s\n' "$PYTHON"
        return
    fi
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        if usable_python "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    die "needs Python 3.11 or newer: install it (Debian: python3 and python3-venv) or set PYTHON"
}

# Debian's python3 has venv without ensurepip: fetch that as root, else borrow pip or virtualenv.
make_venv() {
    local base=$1 package
    package=python$(minor_of "$base")-venv
    say "making $venv with $("$base" -V)"
    rm -rf "$venv"
    "$base" -m venv "$venv" >/dev/null 2>&1 && return
    rm -rf "$venv"
    apt_install "$package" && "$base" -m venv "$venv" && return
    rm -rf "$venv"
    if "$base" -m pip --version >/dev/null 2>&1; then
        "$base" -m venv --without-pip "$venv" &&
            "$base" -m pip --quiet --python "$venv/bin/python" install pip && return
        rm -rf "$venv"
    fi
    "$base" -m virtualenv --quiet "$venv" 2>/dev/null && return
    rm -rf "$venv"
    die "cannot make a virtual environment: install $package (apt-get install $package, as root)"
}

# What the venv was made from; another place counts too, for scripts in a venv hold its path.
env_stamp() {
    { cat "$lock" pyproject.toml && "$venv/bin/python" -VV && pwd; } | sha256sum
}

fill_env() {
    local stamp
    if ! usable_python "$venv/bin/python" ||
        [[ -n ${PYTHON:-} && $(minor_of "$PYTHON") != $(minor_of "$venv/bin/python") ]]; then
        local base
        base=$(find_python)
        make_venv "$base"
    fi
    stamp=$(env_stamp)
    [[ $(cat "$venv/.stamp" 2>/dev/null) != "$stamp" ]] || return 0
    say "installing $lock into $venv (the first time takes a minute or two)"
    local pip=("$venv/bin/python" -m pip --quiet --disable-pip-version-check --no-input)
    "${pip[@]}" install --require-hashes -r "$lock"
    "${pip[@]}" install --no-deps -e .
    printf '%s\n' "$stamp" >"$venv/.stamp"
}

prepare_env() {
    prepare .venv requirements/dev.lock
}

prepare_demo_env() {
    local venv=.venv lock=requirements/dev.lock
    if usable_python .venv/bin/python && [[ $(cat .venv/.stamp 2>/dev/null) == "$(env_stamp)" ]]; then
        prepare_env
    else
        prepare .venv-demo requirements/demo.lock
    fi
}

# prepare VENV LOCK
prepare() {
    local venv=$1 lock=$2
    unset PYTHONHOME PYTHONPATH PIP_USER PIP_TARGET PIP_PREFIX
    mkdir -p .cache
    exec 9>.cache/env.lock
    if command -v flock >/dev/null && ! flock --nonblock 9; then
        say "another script is setting up $venv, waiting for it"
        flock 9
    fi
    fill_env
    exec 9>&-
    # For the scripts that source this file.
    # shellcheck disable=SC2034
    python=$PWD/$venv/bin/python
}
