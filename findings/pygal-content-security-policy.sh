#!/usr/bin/env bash
# A pygal chart can't be shown under a strict Content-Security-Policy: css=[] and js=[] do not leave style and script out.
#
# Guess:     pygal.Line(css=[], js=[]) writes an SVG without <style> and <script>, since both lists of what to include are
#            empty; with classes on its elements it is then styled by the page, and may stand inline under
#            style-src 'self'; script-src 'self'.
# Behaviour: a base style sheet is put in front of the list and a script with the chart's settings is always written, and
#            one element has a style attribute. A browser that holds the page to such a policy blocks all three.
# Versions:  pygal 3.1.3
# Source:    pygal/svg.py, add_styles and add_scripts
# Seen:
#   <style: 1, <script: 1, style=: 1
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet pygal==3.1.3 setuptools==80.9.0

"$folder/venv/bin/python" - <<'PYTHON'
import pygal

chart = pygal.Line(css=[], js=[])
chart.add("balance", [3, 2, 1])
svg = chart.render(is_unicode=True)
counts = {text: svg.count(text) for text in ("<style", "<script", " style=")}
print(", ".join(f"{text.strip()}: {count}" for text, count in counts.items()))
assert counts["<style"] >= 1, "the style sheet can be left out now"
assert counts["<script"] >= 1, "the script can be left out now"
PYTHON
