"""`make release-check`: both distributions are built, installed where nothing else is, tried, and looked over.

It takes what is built alone: nothing of the source is imported, and each program runs in a folder of its own. One line
is printed for each step, and the first that fails ends it.
"""
