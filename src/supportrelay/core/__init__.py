"""What is true of mail: values and decisions. No clock, network, disk, randomness or log."""
