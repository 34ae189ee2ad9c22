"""The small models of the papers, solved or simulated exactly enough to say what pruning does to them."""
