"""Winnow: score training examples, keep a fraction, see how test error scales."""
