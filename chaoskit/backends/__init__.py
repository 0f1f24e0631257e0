"""The kinds of lab: one file or folder each. They perform steps; they know no fault."""
