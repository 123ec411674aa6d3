"""What tests use to make containers and to look at them."""
