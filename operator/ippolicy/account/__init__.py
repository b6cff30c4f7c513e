"""What people see: status and conditions, events, metrics, health, and the reference of all these.

Pure but for the metrics registry: a `View` goes in, data comes out, and the engine carries it to
the API server.
"""
