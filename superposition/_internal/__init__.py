"""What several rooms need and no user does: checks at the border, atomic files, locks, strict JSON, arrays of strangers."""
