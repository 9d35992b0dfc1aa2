#!/usr/bin/env bash
# The search of Material for MkDocs is a dialog without a name, on every page of every site.
#
# Guess:     a theme that is used by thousands of projects, and says that it is accessible, has no serious finding of axe-core
#            on an empty page.
# Behaviour: the search is `<div class="md-search" data-md-component="search" role="dialog">` with no aria-label,
#            aria-labelledby or title, which a screen reader announces as "dialog" alone (axe: aria-dialog-name, serious).
#            Its form inside has one. `mkdocs build --strict` says nothing of it.
# Versions:  mkdocs-material 9.8.2, mkdocs 1.6.1
# Source:    material/templates/partials/search.html
# Seen:
#   <div class="md-search" data-md-component="search" role="dialog">
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet mkdocs-material==9.8.2 mkdocs==1.6.1

mkdir "$folder/docs"
echo '# Empty' > "$folder/docs/index.md"
printf 'site_name: empty\ntheme: { name: material, font: false }\n' > "$folder/mkdocs.yml"
export NO_MKDOCS_2_WARNING=1
"$folder/venv/bin/mkdocs" build --strict --quiet --config-file "$folder/mkdocs.yml" --site-dir "$folder/site"

dialog=$(grep -o '<div class="md-search"[^>]*>' "$folder/site/index.html")
echo "$dialog"
if [[ $dialog != *role=\"dialog\"* || $dialog == *aria-label* || $dialog == *title=* ]]; then
  echo "it has a name now" >&2
  exit 1
fi
