"""Pictures as data: places and paths, computed here and drawn by the templates. Percentages across, pixels down."""
