"""Charts as SVG, drawn by the server: readable without a script, and without a style of their own.

Every chart comes with its exact amounts: as a title on each mark, and as rows for a table beside the chart.
Why they are drawn here and not by a library: docs/decisions/0013-charts-drawn-by-hand.md.
"""
