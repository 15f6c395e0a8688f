"""Observations: readers, quality control, station archives, downloads, and what stations are."""
