"""Benchmarks: one canonical workload, over real HTTP and in process, on each engine. Run by `make bench`."""
