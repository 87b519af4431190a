"""What unimri learns from outside: docs/how-to/extending.md explains each module."""
