#!/usr/bin/env bash
# Makes the Python 3.13 Lambda base image available to `sam local` and prints its name:
# starts a Docker engine if none answers, then pulls the image or, where that fails, builds a stand-in.
set -euo pipefail
shopt -s nullglob && umask 022
state=${XDG_CACHE_HOME:-$HOME/.cache}/sam-local-image
case $(uname -m) in aarch64 | arm64) arch=arm64 ;; *) arch=x86_64 ;; esac
repo=public.ecr.aws/lambda/python image=$repo:3.13-$arch
forward=(PREROUTING -i docker0 -m addrtype --dst-type LOCAL -p tcp -j DNAT --to-destination 127.0.0.1)
die() { echo "sam_local_image.sh: $*" >&2; exit 1; }
need_root() { [[ $EUID -eq 0 ]] || die "must run as root to $1"; }
answers() { timeout 20 docker version >/dev/null 2>&1; } # one that hangs is no engine
ours() { [[ -s $state/dockerd.pid ]] && grep -qsF "$state" "/proc/$(<"$state/dockerd.pid")/cmdline"; }
localnet() { echo "$1" >/proc/sys/net/ipv4/conf/docker0/route_localnet; }
install() { # command=package ...: installs the packages whose command is missing
  local pair pkgs=()
  for pair; do command -v "${pair%=*}" >/dev/null || pkgs+=("${pair#*=}"); done
  [[ ${#pkgs[@]} -gt 0 ]] || return 0
  need_root "install ${pkgs[*]}"
  { timeout 300 apt-get update || :; DEBIAN_FRONTEND=noninteractive timeout 900 apt-get install -y --no-install-recommends "${pkgs[@]}"; } \
    >"$state/apt.log" 2>&1 </dev/null 9>&- || die "installing ${pkgs[*]} failed, see $state/apt.log"
}
unmount() { # what a killed engine left mounted in its exec root: its network namespaces, its containers' file systems
  local root path
  root=$(cd "$state" && pwd -P)/exec
  awk '{ print $2 }' /proc/self/mounts | sort -r | while read -r path; do
    [[ $path != "$root"/* ]] || umount -l "$path"
  done
}
start_engine() {
  [[ -z ${DOCKER_HOST:-} ]] || die "no engine answers at DOCKER_HOST=$DOCKER_HOST"
  install dockerd=docker.io iptables=iptables && install docker=docker-cli
  ! answers || return 0 # the package may have started its service
  # One of ours that no longer answers, and what a killed one left: its containerd's pid would be taken for a living one.
  ! ours || kill -9 "$(<"$state/dockerd.pid")"
  ! pid=$(cat "$state/exec/containerd/containerd.pid" 2>/dev/null) || ! grep -qsF "$state" "/proc/$pid/cmdline" || kill -9 "$pid"
  while ours; do sleep 0.1; done
  unmount
  rm -rf --one-file-system "$state/dockerd.pid" "$state/exec"
  setsid dockerd --data-root "$state/data" --exec-root "$state/exec" --pidfile "$state/dockerd.pid" \
    >"$state/dockerd.log" 2>&1 </dev/null 9>&- &
  for _ in {1..300}; do ! answers || return 0; kill -0 $! 2>/dev/null || break; sleep 0.1; done
  die "dockerd did not start, see $state/dockerd.log"
}
find_python() { # prints the prefix of a CPython 3.13
  for py in "${PYTHON:-false}" "$(uv python find 3.13 2>/dev/null || echo false)" python3.13 python3 ~/.pyenv/versions/3.13.*/bin/python; do
    "$py" -c 'import sys; sys.version_info[:2] == (3, 13) or sys.exit(1); print(sys.base_prefix)' 2>/dev/null && return
  done
  die 'found no CPython 3.13: set PYTHON, or run "uv python install 3.13"'
}
build() {
  need_root 'build the stand-in image' && install debootstrap=debootstrap
  base=$(find_python)
  work=$(mktemp -d "$state/build.XXXX") root=$work/root lang=$root/var/lang suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
  trap 'rm -rf --one-file-system "$work"' EXIT
  "$base/bin/python3.13" -m pip install --target "$work/runtime" awslambdaric boto3 >"$state/pip.log" 2>&1 &
  mirror=$(apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' | sed -n "s/^$suite main //p" | sort -u | sed -n 1p)
  timeout 900 debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" ${mirror:+"$mirror"} >"$state/debootstrap.log" 2>&1 ||
    die "debootstrap failed, see $state/debootstrap.log"
  mkdir -p "$lang" "$root/var/task"
  (cd "$base" && tar -c --exclude={test,tests,idlelib,turtledemo,tkinter,'_tkinter.*',ensurepip,'config-3.13*','site-packages/*'} \
    bin/python3.13 lib/{python3.13,libpython3*.so*}) | tar -x -C "$lang"
  "$base/bin/python3.13" -m compileall -qq -s "$root" -p / "$lang/lib/python3.13" || : # what has no .pyc yet
  { ldd "$lang"/{bin/python3.13,lib/python3.13/lib-dynload/*.so} 2>/dev/null || :; } | awk '$3 ~ "^/" { print $3 }' | sort -u |
    while read -r lib; do # the shared libraries CPython needs beyond the base system
      [[ -e $root$lib || -e $lang/lib/${lib##*/} ]] || cp -L "$lib" "$lang/lib/"
    done
  wait $! || die "installing awslambdaric and boto3 failed, see $state/pip.log"
  mv "$work/runtime" "$root/var/runtime"
  printf >"$root/var/runtime/bootstrap" '%s\n' '#!/bin/sh' 'export AWS_EXECUTION_ENV=AWS_Lambda_python3.13' \
    'export PYTHONPATH="$LAMBDA_TASK_ROOT:/opt/python/lib/python3.13/site-packages:/opt/python:/var/runtime${PYTHONPATH:+:$PYTHONPATH}"' \
    'exec /var/lang/bin/python3.13 -m awslambdaric "$_HANDLER"' && chmod 755 "$root/var/runtime/bootstrap"
  tar -C "$root" --exclude=./{usr/share/{doc,info,locale,man},var/{cache/apt,lib/apt/lists}}/\* -c . | docker import -c 'LABEL stand-in=true' \
    -c 'ENV LAMBDA_TASK_ROOT=/var/task LANG=C.UTF-8 PATH=/var/lang/bin:/usr/bin:/bin LD_LIBRARY_PATH=/var/lang/lib' \
    -c 'WORKDIR /var/task' -c 'ENTRYPOINT ["/var/runtime/bootstrap"]' - "$image" >/dev/null
  docker rmi -f "$repo:3.13-rapid-$arch" >/dev/null 2>&1 || : # what SAM built on an earlier base
}
stop() { # the engine this script started, and what --loopback set
  ! iptables -t nat -D "${forward[@]}" 2>/dev/null || localnet 0
  ! ours || kill "$(<"$state/dockerd.pid")"
  while ours; do sleep 0.1; done
  unmount
}
mkdir -p "$state" && exec 9>"$state/lock" && { ! command -v flock >/dev/null || flock 9; }
case ${1:-} in '' | --loopback) ;; --stop) stop && exit ;; *) die 'usage: sam_local_image.sh [--loopback | --stop]' ;; esac
answers || start_engine
if ! docker image inspect "$image" >/dev/null 2>&1 && ! timeout 600 docker pull "$image" >/dev/null 2>&1; then
  echo "sam_local_image.sh: can't pull $image, building a stand-in" >&2
  build
fi
if [[ ${1:-} = --loopback ]]; then # containers reach the host's 127.0.0.1 under the address of the Docker bridge
  iptables -t nat -C "${forward[@]}" 2>/dev/null || iptables -t nat -I "${forward[@]}"; localnet 1
fi
echo "$image"
