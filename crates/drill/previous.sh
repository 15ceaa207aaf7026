#!/usr/bin/env bash
# Builds the executable of an older version and prints where it is: of the commit that is named, by default of the newest
# one whose tables on PostgreSQL are behind those of this one. An executable that is named is taken as it is.
set -euo pipefail
cd "$(dirname "$0")/../.."
wanted=${1:-}
profile=${PROFILE:-release}

if [ -n "$wanted" ] && [ -x "$wanted" ]; then
    realpath "$wanted"
    exit
fi

newest=$(git ls-tree --name-only HEAD migrations/postgres/ | sort | tail -n 1)
behind() {
    git cat-file -e "$1:migrations/postgres" 2>/dev/null && ! git cat-file -e "$1:$newest" 2>/dev/null
}
if [ -n "$wanted" ]; then
    commit=$(git rev-parse --verify "$wanted^{commit}")
else
    commit=
    for candidate in $(git rev-list --date-order HEAD); do
        if behind "$candidate"; then
            commit=$candidate
            break
        fi
    done
    [ -n "$commit" ] || { echo "no commit has older tables: name one, or an executable" >&2; exit 1; }
fi

place=$PWD/target/previous
executable=$place/deed-$profile-$(git rev-parse --short "$commit")
if [ ! -x "$executable" ]; then
    # Its files alone: a worktree would be known to the repository.
    source=$place/source
    rm -rf "$source"
    mkdir -p "$source"
    # What both versions are built on is built once: the folder is shared, and the present executable put back afterwards.
    folder=$profile
    [ "$profile" = dev ] && folder=debug
    built=target/$folder/deed
    kept=$place/kept
    [ ! -e "$built" ] || cp "$built" "$kept"
    trap 'rm -rf "$source"; [ ! -e "$kept" ] || mv -f "$kept" "$built"' EXIT
    git archive "$commit" | tar --extract --directory "$source"
    flags=(--quiet --package deed --target-dir "$PWD/target")
    [ "$profile" = dev ] || flags+=(--profile "$profile")
    (cd "$source" && "${CARGO:-cargo}" build "${flags[@]}" >&2)
    cp "$built" "$executable.new"
    mv "$executable.new" "$executable"
fi
echo "$executable"
