"""Load and speed: the measurements that docs/performance.md reports. `python -m bench --help` says how to run them.

The road of a run: `__main__` reads the wishes → `machine` divides the cores → `load_tool` compiles bench/load →
`stage` brings databases and people → `servers` starts who is compared → `runs` measures them in turns →
`report` prints, and writes docs/performance.md. `workloads` is the list of what is measured.
"""
