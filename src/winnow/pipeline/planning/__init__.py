"""What a grid of cells will take, told without training anything."""
