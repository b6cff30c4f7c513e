"""Targets by group that pods are born with, and which running nodes a restart repays for; pure."""
