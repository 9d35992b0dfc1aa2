"""The command line: what an operator and support do from a shell, beside a live server or without one."""
