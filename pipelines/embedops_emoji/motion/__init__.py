"""Moving pictures: an AnimateDiff motion adapter for the embedded model."""
