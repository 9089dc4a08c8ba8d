"""The production run: plan, work items, output."""
