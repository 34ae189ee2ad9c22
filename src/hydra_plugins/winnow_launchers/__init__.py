"""Hydra launchers of this project."""
