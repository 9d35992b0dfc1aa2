#!/bin/sh
# Reads the balance and says whether it is low. Needs curl.
set -eu
url=${FAREBOX_URL:-http://127.0.0.1:8000}
threshold=100

# The key goes in by a pipe: on the command line, others on this machine could read it.
answer=$(printf 'x-api-key: %s\n' "$FAREBOX_API_KEY" |
    curl --silent --show-error --max-time 30 --header @- --write-out '\n%{http_code}' "$url/api/balance")
status=$(printf '%s\n' "$answer" | tail -n 1)
field() { printf '%s\n' "$answer" | sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p"; }

case $status in
2??) balance=$(field data | tr -d ,) ;;
*) echo "Farebox answered $status: $(field errorMessage)" >&2 && exit 1 ;;
esac

echo "Balance: ${balance:?is missing from the answer}"
# sort compares decimal numbers exactly; out of order means that the threshold is the larger.
printf '%s\n' "$threshold" "$balance" | LC_ALL=C sort -n -s -c 2>/dev/null || echo "Below $threshold: top up."
