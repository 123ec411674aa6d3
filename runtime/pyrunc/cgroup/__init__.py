"""Resources -> writes to cgroup files: one table for both versions, and the driver that makes directories."""
