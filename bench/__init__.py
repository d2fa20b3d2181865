"""Load and speed: the measurements that docs/performance.md reports."""
