"""What a setting would do, and which one to choose: pure, with no clock and no I/O."""
