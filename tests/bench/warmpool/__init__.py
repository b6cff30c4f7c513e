"""The warm-pool bench: policies, families of demand, fleets, and what they come to."""
