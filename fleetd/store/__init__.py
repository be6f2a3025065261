"""Persistence: lock, load and write; no rules."""
