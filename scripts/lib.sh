# SPDX-License-Identifier: Apache-2.0
# Pieces that the scripts share. To be sourced.

# say TEXT: what the script does now.
say() { printf '==> %s\n' "$*" >&2; }

# die TEXT: end with a sentence.
die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# missing_packages NAME...: those Debian packages that are not installed.
missing_packages() {
  local name
  for name in "$@"; do
    [[ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" == installed ]] || printf '%s\n' "$name"
  done
}

# need_packages NAME...: say which Debian packages are missing, and install them.
need_packages() {
  local -a missing
  mapfile -t missing < <(missing_packages "$@")
  ((${#missing[@]})) || return 0
  say "Debian packages that are missing: ${missing[*]}"
  command -v apt-get >/dev/null || die "install them by hand: there is no apt-get here"
  local -a as_root=()
  if ((EUID != 0)); then
    command -v sudo >/dev/null || die "run this as root once: apt-get install ${missing[*]}"
    as_root=(sudo)
  fi
  # A fresh machine has no lists, an old one lists of packages that are gone: ask for new ones if need be.
  local -a install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install)
  "${install[@]}" "${missing[@]}" >/dev/null 2>&1 && return 0
  "${as_root[@]}" apt-get -q update >&2
  "${install[@]}" "${missing[@]}" >&2
}

# need_swift: put a Swift 6.3 (or newer) toolchain on the PATH.
need_swift() {
  local folder
  for folder in "" "${SWIFT_TOOLCHAIN:+$SWIFT_TOOLCHAIN/usr/bin}" ~/.local/share/swiftly/bin /opt/swift/usr/bin \
    /usr/share/swift/usr/bin; do
    [[ -z "$folder" || -x "$folder/swiftc" ]] || continue
    if has_swift "${folder:+$folder/}swiftc"; then
      [[ -z "$folder" ]] || PATH="$folder:$PATH"
      return 0
    fi
  done
  die "no Swift 6.3 toolchain on the PATH: install one from https://www.swift.org/install/linux/debian/12/, or name its folder in SWIFT_TOOLCHAIN"
}

# has_swift COMPILER: whether it is of 6.3 or later.
has_swift() {
  command -v "$1" >/dev/null || return 1
  local version
  version="$("$1" --version 2>/dev/null)" || return 1
  [[ "$version" =~ Swift\ version\ ([0-9]+)\.([0-9]+) ]] || return 1
  ((BASH_REMATCH[1] > 6 || (BASH_REMATCH[1] == 6 && BASH_REMATCH[2] >= 3)))
}

# need_build_tools: what building takes.
need_build_tools() {
  need_packages libseccomp-dev libcap-dev musl-tools lz4 cmake ninja-build pkg-config python3
  need_swift
}

# build_release FOLDER: build what ships there.
build_release() {
  say "building what ships in ${1#"$PWD"/}"
  cmake -S . -B "$1" -G Ninja -DCMAKE_BUILD_TYPE=Release >&2
  cmake --build "$1" >&2
}
