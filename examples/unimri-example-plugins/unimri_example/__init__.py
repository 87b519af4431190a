"""What unimri learns from outside: docs/extending.md explains each module."""
