"""The outside world, one thing a module; each turns its library's errors into ours."""
