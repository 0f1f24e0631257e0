"""Which keys of Compose are understood, which may stand there without effect, and which are refused, each with its reason.

The table in docs/docker.md says the same, and a test compares both.
"""

from __future__ import annotations

UNDERSTOOD_AT_TOP = ("name", "services", "networks", "volumes")
IGNORED_AT_TOP = {"version": "it has no meaning any more"}
REFUSED_AT_TOP = {
    "configs": "mount the file under `volumes`",
    "include": "name the services in this file",
    "models": "not supported",
    "secrets": "mount the file under `volumes`",
}

UNDERSTOOD = (
    "build", "cap_add", "cap_drop", "command", "cpus", "depends_on", "deploy", "entrypoint", "env_file", "environment",
    "healthcheck", "hostname", "image", "labels", "mem_limit", "networks", "pids_limit", "privileged", "profiles", "read_only",
    "restart", "scale", "shm_size", "sysctls", "tmpfs", "ulimits", "user", "volumes", "working_dir",
)  # fmt: skip
IGNORED = {
    "annotations": "nothing reads them",
    "attach": "logs go into the run",
    "container_name": "a node has its service's name",
    "develop": "it is for editing, not for running",
    "expose": "every port can be reached inside the lab",
    "init": "the container's first process always reaps",
    "logging": "logs go into the run",
    "ports": "clients run inside the lab and go to the container's own address and port",
    "pull_policy": "what the engine has is used; what it lacks is pulled or built",
    "stdin_open": "nobody types",
    "stop_grace_period": "`service.stop` has a grace of its own",
    "tty": "there is no terminal",
}
REFUSED = {
    "blkio_config": "use `resource.disk_bandwidth` in an experiment",
    "cgroup": "the engine chooses the groups",
    "cgroup_parent": "the engine chooses the groups",
    "configs": "mount the file under `volumes`",
    "credential_spec": "it is of Windows",
    "cpu_count": "use `cpus`",
    "cpu_percent": "use `cpus`",
    "cpu_period": "use `cpus`",
    "cpu_quota": "use `cpus`",
    "cpu_rt_period": "use `cpus`",
    "cpu_rt_runtime": "use `cpus`",
    "cpu_shares": "use `cpus`",
    "cpuset": "use `cpus`",
    "device_cgroup_rules": "no device of this machine is handed to a lab",
    "devices": "no device of this machine is handed to a lab",
    "dns": "a lab has no name server; names are in /etc/hosts",
    "dns_opt": "a lab has no name server; names are in /etc/hosts",
    "dns_search": "a lab has no name server; names are in /etc/hosts",
    "domainname": "use `hostname`",
    "extends": "write the service out in this file",
    "external_links": "a lab reaches nothing outside itself",
    "extra_hosts": "a lab reaches nothing outside itself",
    "gpus": "no device of this machine is handed to a lab",
    "group_add": "name the group in `user`",
    "ipc": "every node has its own",
    "isolation": "it is of Windows",
    "label_file": "use `labels`",
    "links": "use `aliases` of a network",
    "mac_address": "addresses of the hardware are chaoskit's own",
    "mem_reservation": "use `mem_limit`",
    "mem_swappiness": "use `mem_limit`",
    "memswap_limit": "use `mem_limit`",
    "models": "not supported",
    "network_mode": "a node is on the lab's own switch; use `networks`",
    "oom_kill_disable": "use `mem_limit`",
    "oom_score_adj": "use `mem_limit`",
    "pid": "every node has its own processes",
    "platform": "images are of this machine's kind",
    "post_start": "use `command`",
    "pre_stop": "use `command`",
    "provider": "not supported",
    "runtime": "the engine's own runtime is used",
    "secrets": "mount the file under `volumes`",
    "security_opt": "the engine's own profile holds",
    "stop_signal": "`service.stop` sends TERM",
    "storage_opt": "not supported",
    "use_api_socket": "the engine is not handed to a lab",
    "userns_mode": "the engine's own users hold",
    "uts": "every node has its own",
    "volumes_from": "name the volumes",
}

UNDERSTOOD_OF_BUILD = ("args", "context", "dockerfile", "target")
IGNORED_OF_BUILD = {
    "cache_from": "the engine's own cache is used",
    "cache_to": "the engine's own cache is used",
    "labels": "nothing reads them",
    "network": "a build uses this machine's network",
    "no_cache": "the engine's own cache is used",
    "pull": "what the engine has is used",
    "tags": "the image has a name of chaoskit's own",
}
REFUSED_OF_BUILD = {
    "additional_contexts": "they take BuildKit",
    "dockerfile_inline": "write it into a file, and name it under `dockerfile`",
    "entitlements": "they take BuildKit",
    "extra_hosts": "not supported",
    "isolation": "it is of Windows",
    "platforms": "images are of this machine's kind",
    "privileged": "nothing is built with such rights",
    "provenance": "it takes BuildKit",
    "sbom": "it takes BuildKit",
    "secrets": "they take BuildKit",
    "shm_size": "not supported",
    "ssh": "it takes BuildKit",
    "ulimits": "not supported",
}

UNDERSTOOD_OF_DEPLOY = ("replicas", "resources", "restart_policy")
IGNORED_OF_DEPLOY = dict.fromkeys(
    ("endpoint_mode", "labels", "mode", "placement", "rollback_config", "update_config"), "it is of Swarm"
)
