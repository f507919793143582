"""What a trained model does to data it has not seen, in numbers."""
