"""Downscaling runs: plan, work items, output."""
