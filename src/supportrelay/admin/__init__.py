"""What people may ask of a relay: one named operation each, for the control socket and the command line alike."""
