"""Metrics side by side: the tables that a sweep of score.py leaves, and its report."""
