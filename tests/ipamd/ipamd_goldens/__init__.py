"""Checks of the model against recorded states, traces and three-day runs of the real ipamd."""
