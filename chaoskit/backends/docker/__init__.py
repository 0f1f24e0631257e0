"""Labs of containers: nodes made by a Docker engine on this machine, on a switch of chaoskit's own."""
