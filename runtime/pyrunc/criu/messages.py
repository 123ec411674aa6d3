"""CRIU's messages, as far as they are used here (rpc.proto of CRIU 3.15; later versions only add to it)."""

from __future__ import annotations

from pyrunc.criu.protobuf import BOOL, INT, TEXT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Table = dict[str, tuple[int, Any]]

# enum criu_req_type
DUMP, RESTORE, PRE_DUMP, NOTIFY, FEATURE_CHECK, VERSION = 1, 2, 4, 6, 9, 10
# enum criu_cg_mode, by the words of --manage-cgroups-mode
CGROUP_MODES = {"ignore": 0, "none": 1, "soft": 3, "full": 4, "strict": 5}
CGROUP_MODE_DEFAULT = 6
# enum criu_network_lock_method (since 3.17; skip since 4.0), by the words of --network-lock
NETWORK_LOCKS = {"iptables": 1, "nftables": 2, "skip": 3}

PAGE_SERVER: Table = {"address": (1, TEXT), "port": (2, INT)}
EXTERNAL_MOUNT: Table = {"key": (1, TEXT), "val": (2, TEXT)}
JOIN_NAMESPACE: Table = {"ns": (1, TEXT), "ns_file": (2, TEXT)}
INHERIT: Table = {"key": (1, TEXT), "fd": (2, INT)}
CGROUP_ROOT: Table = {"ctrl": (1, TEXT), "path": (2, TEXT)}

# message criu_opts.  Descriptors are numbers of ours, but those of inherit_fd are CRIU's own.
OPTIONS: Table = {
    "images_dir_fd": (1, INT),
    "pid": (2, INT),
    "leave_running": (3, BOOL),
    "ext_unix_sk": (4, BOOL),
    "tcp_established": (5, BOOL),
    "evasive_devices": (6, BOOL),
    "shell_job": (7, BOOL),
    "file_locks": (8, BOOL),
    "log_level": (9, INT),
    "log_file": (10, TEXT),
    "ps": (11, PAGE_SERVER),
    "notify_scripts": (12, BOOL),
    "root": (13, TEXT),
    "parent_img": (14, TEXT),
    "track_mem": (15, BOOL),
    "auto_dedup": (16, BOOL),
    "work_dir_fd": (17, INT),
    "link_remap": (18, BOOL),
    "ext_mnt": (23, EXTERNAL_MOUNT),
    "manage_cgroups": (24, BOOL),
    "cg_root": (25, CGROUP_ROOT),
    "rst_sibling": (26, BOOL),
    "inherit_fd": (27, INHERIT),
    "manage_cgroups_mode": (34, INT),
    "external": (37, TEXT),
    "empty_ns": (38, INT),
    "join_ns": (39, JOIN_NAMESPACE),
    "freeze_cgroup": (44, TEXT),
    "tcp_skip_in_flight": (46, BOOL),
    "lazy_pages": (48, BOOL),
    "orphan_pts_master": (50, BOOL),
    "config_file": (51, TEXT),
    "tcp_close": (52, BOOL),
    "lsm_profile": (53, TEXT),
    "lsm_mount_context": (63, TEXT),
    "network_lock": (64, INT),
}
FEATURES: Table = {"mem_track": (1, BOOL), "lazy_pages": (2, BOOL)}
REQUEST: Table = {
    "type": (1, INT),
    "opts": (2, OPTIONS),
    "notify_success": (3, BOOL),
    "keep_open": (4, BOOL),
    "features": (5, FEATURES),
}
RESPONSE: Table = {
    "type": (1, INT),
    "success": (2, BOOL),
    "restore": (4, {"pid": (1, INT)}),
    "notify": (5, {"script": (1, TEXT), "pid": (2, INT)}),
    "cr_errno": (7, INT),
    "features": (8, FEATURES),
    "cr_errmsg": (9, TEXT),
    "version": (10, {"major_number": (1, INT), "minor_number": (2, INT), "sublevel": (4, INT)}),
}
