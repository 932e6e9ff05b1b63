#!/usr/bin/env bash
# Fuzzes every target for FUZZTIME each (30s unless said otherwise). What one finds is kept under testdata/fuzz
# of its package, and fails `make test` until it is mended.
set -euo pipefail
cd "$(dirname "$0")/.."

targets=0
while IFS=: read -r file line; do
	target=$(sed -E 's/^func (Fuzz[A-Za-z0-9_]*).*/\1/' <<<"$line")
	echo "fuzz $target in $(dirname "$file")"
	go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-30s}" "./$(dirname "$file")"
	targets=$((targets + 1))
done < <(git grep -E '^func Fuzz' -- '*_test.go')
if [ "$targets" -eq 0 ]; then
	echo 'fuzz: there are no targets' >&2
	exit 1
fi
