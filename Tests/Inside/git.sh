# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
export GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=A GIT_COMMITTER_EMAIL=a@example.org
git init --quiet --initial-branch main here
cd here
for n in 1 2 3; do
  seq "$n" 1000 >file && git add file && git commit --quiet --message "change $n"
done
git switch --quiet --create side HEAD~1 && echo side >other && git add other && git commit --quiet --message side
git merge --quiet --no-edit main && [[ "$(git log --oneline | wc -l)" == 5 ]]
git worktree add --quiet ../tree main && [[ -e ../tree/file ]]
git gc --quiet --aggressive && git fsck --strict 2>/dev/null
git clone --quiet --no-local . ../clone && [[ "$(git -C ../clone rev-parse HEAD)" == "$(git rev-parse HEAD)" ]]
git daemon --base-path=.. --export-all --listen=127.0.0.1 --port=9418 --reuseaddr --detach --pid-file=../pid 2>/dev/null ||
  { git daemon --base-path=.. --export-all --listen=127.0.0.1 --port=9418 --reuseaddr & echo $! >../pid; }
until git ls-remote --quiet git://127.0.0.1/here >/dev/null 2>&1; do sleep 0.05; done
git clone --quiet git://127.0.0.1/here ../far && [[ -e ../far/other ]]
kill "$(cat ../pid)"
git bisect start --quiet HEAD HEAD~2 >/dev/null && git bisect reset --quiet
git diff --stat HEAD~1 | grep -q changed
echo DONE
