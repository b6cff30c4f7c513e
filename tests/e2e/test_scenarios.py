"""Stands for the tests of tests/scenarios, which run here on a real control plane."""
