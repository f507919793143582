"""A sweep on disk: one Zarr store, one digest a block, found out when damaged and mended on resuming."""
