"""What becomes of the subnets: who holds their addresses, and where there is room; pure."""
