"""Labs of containers that run already: broken and healed, neither made nor removed, on the bridges that their engine made."""
