"""Fields in the formats of other tools: COG, netCDF, CSV, Parquet, Zarr v2; one file a period or one for all."""
