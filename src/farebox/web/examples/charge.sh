#!/bin/sh
# Charges a merchant for one request that was served: sh charge.sh REQUEST. Needs curl.
set -eu
url=${FAREBOX_URL:-http://127.0.0.1:8000}
# The id of your request is the idempotency key: however often it is sent, the request is charged once.
request=${1:?is missing: the id of the request that was served}
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT
field() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" "$answer"; }

# The keys go in by a pipe: on the command line, others on this machine could read them.
# curl sends the same body again after a time-out, a lost connection, 408, 429 and 5xx, and waits as Retry-After says.
status=$(printf 'header = "x-api-key: %s"\nheader = "content-type: application/json"\ndata = %s\n' "$FAREBOX_API_KEY" \
    "{\"merchant\":\"$FAREBOX_MERCHANT\",\"type\":\"image\",\"quantity\":1,\"idempotencyKey\":\"$request\"}" |
    curl --silent --show-error --config - --output "$answer" --write-out '%{http_code}' \
        --max-time 10 --retry 5 --retry-all-errors --retry-max-time 60 "$url/api/charges") ||
    { echo "No answer, so it may be charged or not: ask again with the same id." >&2 && exit 1; }

case $status in
2??) cost=$(field cost) && echo "Charged ${cost:?is missing from the answer}, $(field available) left." ;;
402) echo "Not charged: $(field errorMessage)" && exit 3 ;;
*) echo "Farebox answered $status: $(field errorMessage)" >&2 && exit 1 ;;
esac
