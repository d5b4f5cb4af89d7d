# SPDX-License-Identifier: Apache-2.0
# A shell's own jobs, and the tools that scripts are made of.
set -euo pipefail
diff <(printf 'a\nb\n') <(printf 'b\na\n' | sort)
(sleep 30 & echo $! >sleeper; wait) & job=$!
until [[ -s sleeper ]]; do sleep 0.01; done
kill "$(cat sleeper)"
wait "$job"
timeout --signal KILL 0.05 sleep 30 && exit 1 || [[ $? == 137 ]]
[[ "$(ulimit -v)" == unlimited ]]
seq 100000 | xz | xz -d | zstd -q | zstd -qd | gzip | gunzip | tail -n 1 | grep -qx 100000
mkdir -p tree/a/b && echo text >tree/a/b/file && ln -s b tree/a/link
tar -cf - tree | (mkdir -p copy && tar -xf - -C copy)
diff -r tree copy/tree && find copy -type l -printf '%l' | grep -qx b
perl -MPOSIX -MSocket -e 'socketpair(my $a, my $b, AF_UNIX, SOCK_STREAM, 0) or die $!; if (!fork) { syswrite $a, "x"; exit } wait; sysread $b, my $x, 1; die unless $x eq "x"'
mkfifo /tmp/pipe && (echo through >/tmp/pipe &) && [[ "$(cat /tmp/pipe)" == through ]]
coproc cat; echo line >&"${COPROC[1]}"; read -r line <&"${COPROC[0]}"; [[ $line == line ]]
awk 'BEGIN { while (("echo 6*7" | getline x) > 0) print x }' | grep -qF '6*7'
[[ "$(id -u)" != 0 && "$(whoami)" && "$HOME" && -w "$HOME" && "$(date +%Y)" -gt 2000 && "$(nproc)" -ge 1 ]]
ps -o pid= | grep -q . && df . >/dev/null && free >/dev/null
set -m
sleep 30 & stopped=$!
kill -STOP "$stopped"
until [[ "$(jobs)" == *Stopped*sleep* ]]; do sleep 0.01; done
kill -KILL "$stopped"
status=147 # of a job that is stopped still
while [[ $status == 147 ]]; do wait "$stopped" 2>/dev/null && status=0 || status=$?; done
[[ $status == 137 ]]
echo DONE
