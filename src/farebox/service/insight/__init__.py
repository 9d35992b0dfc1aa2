"""Figures that are worked out of the books and decide about no money: usage, history, runway and their snapshots."""
