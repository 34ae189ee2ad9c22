"""What can be said of a subset or a training besides its test error: numerics only, arrays in and arrays out."""
