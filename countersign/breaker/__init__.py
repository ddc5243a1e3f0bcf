"""Circuits: which model or tool may be called now, how often at once, and when one that failed may be tried again."""
