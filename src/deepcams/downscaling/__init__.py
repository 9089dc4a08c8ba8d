"""The long run: plan, work items, output."""
