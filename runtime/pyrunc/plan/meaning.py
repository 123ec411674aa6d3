"""What each call of a plan is for, in a sentence, and the man page that has more.

`pyrunc plan --explain` and the page of `plan --html` show it. A test holds the table against all that planners write.
"""

from __future__ import annotations

MEANING = {
    "barrier": ("The new process says that it is here, and waits until the host side has done what comes next.", ""),
    "go": ("The host side is done; the new process goes on.", ""),
    # Process and namespaces
    "clone3": ("Make the new process, in new namespaces, so that it sees none of the host's.", "clone3(2)"),
    "unshare": ("Leave a namespace of the host for a new one.", "unshare(2)"),
    "setns": ("Join a namespace that is there already.", "setns(2)"),
    "respawn": ("Fork once more: a process enters a pid namespace only by being born in it.", "pid_namespaces(7)"),
    "enter_time": ("Enter the new time namespace, whose clocks have been set.", "time_namespaces(7)"),
    "open_namespace": ("Open the namespace that the configuration names by a path.", "namespaces(7)"),
    "open_foreign_namespace": ("Open a namespace, and refuse the host's own: it is going to be changed.", "namespaces(7)"),
    "open_process_namespace": ("Open a namespace of a process that is in it.", "namespaces(7)"),
    "make_user_namespace": ("Make a user namespace, only to map the owners of files in a mount.", "user_namespaces(7)"),
    "write_proc": ("Tell the kernel something about the new process, such as its user mappings.", "proc(5)"),
    "run_mapping_tool": ("Let newuidmap or newgidmap map the ids that /etc/subuid and /etc/subgid grant.", "newuidmap(1)"),
    "setsid": ("Begin a session: signals to the caller's terminal do not reach the container.", "setsid(2)"),
    "umask": ("Set which permissions new files do not get.", "umask(2)"),
    "prctl": ("Change a property of this process, such as who may look into its memory.", "prctl(2)"),
    "personality": ("Choose the execution domain, so that the machine looks like another.", "personality(2)"),
    "join_keyring": ("Begin a session keyring, so that the container sees none of the caller's keys.", "keyrings(7)"),
    # Descriptors
    "open_directory": ("Open a directory of the host now, as its path will not lead there later.", "open(2)"),
    "open_null": ("Open the host's /dev/null, which masked files get, and see that it is that device.", "null(4)"),
    "open_own_proc": ("Keep our own directory of procfs, for the name that the program is to have.", "proc(5)"),
    "open_childs_proc": ("Keep the new process's directory of procfs, for the name that the program is to have.", "proc(5)"),
    "open_mount": ("Open what is mounted there already; no link of the image's chooses another mount.", "openat2(2)"),
    "close": ("Close descriptors that nothing later needs.", "close(2)"),
    "close_others": ("Close every other descriptor once the program is executed: none of the host's leaks.", "close_range(2)"),
    # Root file system and mounts
    "bind_rootfs": ("Bind the rootfs over itself, in the caller's own mount namespace, as there is no new one.", "mount(2)"),
    "make_holder_private": ("What the host mounts below the rootfs later does not show up inside.", "mount_namespaces(7)"),
    "make_private_beside": ("What the host mounts below this source later does not show up inside.", "mount_namespaces(7)"),
    "open_tree": ("Take a copy of a mount that is attached nowhere yet, so that it can be set up unseen.", "open_tree(2)"),
    "open_tree_by_helper": ("Take a copy of a mount that only another mount namespace has.", "open_tree(2)"),
    "end_helper": ("End the process that looked into the other mount namespace.", ""),
    "fsopen": ("Begin a new file system.", "fsopen(2)"),
    "fsconfig": ("Set an option of the file system, or make it.", "fsconfig(2)"),
    "fspick": ("Change options of a file system that is mounted.", "fspick(2)"),
    "fsmount": ("Turn the file system into a mount that is attached nowhere yet.", "fsmount(2)"),
    "mount": ("Mount, or change how mounts spread to other namespaces.", "mount(2)"),
    "mount_on": ("Mount on a directory that is held open, so that no path can be swapped meanwhile.", "mount(2)"),
    "mount_point": ("Find the place inside the root where something will be mounted, or make it.", "openat2(2)"),
    "mount_setattr": ("Set flags of a mount, such as read-only or nosuid.", "mount_setattr(2)"),
    "set_bind_flags": ("Give a bind mount the flags that were asked for; those that are locked stay.", "mount_setattr(2)"),
    "move_mount": ("Attach the mount where it belongs, by descriptors: no path can be swapped meanwhile.", "move_mount(2)"),
    "copy_up": ("Copy what the image has there into the new tmpfs.", "tmpfs(5)"),
    "tmpfs_mode": ("Give the tmpfs the mode of the directory that it covers.", "tmpfs(5)"),
    "copy_link": ("Make the link that is to be there, and see that what lies there is no other.", "symlink(2)"),
    "make_node": ("Make a device that every program may expect.", "mknod(2)"),
    "symlink": ("Make a link that every program may expect.", "symlink(2)"),
    "mask": ("Hide a path that tells of the host, or would change it.", "proc(5)"),
    "make_readonly": ("Let a path of the kernel's be read, but not written to.", "mount_setattr(2)"),
    "pivot_root": ("Make the container's root the root of everything that this process can name.", "pivot_root(2)"),
    "umount2": ("Let go of the host's old root: nothing of it is left in reach.", "umount(2)"),
    "enter_namespace_root": ("Go to the root of our mount namespace: whoever called us may be in a chroot.", "chroot(2)"),
    "find_root": ("Take the root of the container's init, which need not be that of its mount namespace.", "chroot(2)"),
    "move_to_root": ("Make the container's root the root directory without pivot_root(2); the host's mounts go.", "mount(2)"),
    "chroot": ("Make this directory the root directory.", "chroot(2)"),
    "chdir": ("Go to a directory by its path.", "chdir(2)"),
    "fchdir": ("Go to a directory that is held open.", "chdir(2)"),
    # Names, network, kernel parameters
    "sethostname": ("Set the host name that the container sees.", "sethostname(2)"),
    "setdomainname": ("Set the NIS domain name that the container sees.", "setdomainname(2)"),
    "bring_up": ("Bring up the loopback interface of the new network namespace.", "netdevice(7)"),
    "move_device": ("Move a network device of the host into the container.", "network_namespaces(7)"),
    "write_at": ("Write a kernel parameter or a small file; no link and no mount can lead it astray.", "sysctl(8)"),
    # Control groups
    "make_cgroup": ("Make the cgroup that limits and counts what the container uses.", "cgroups(7)"),
    "fill_cgroup": ("Make the cgroups of version 1 that systemd leaves out.", "cgroups(7)"),
    "limit_cgroup": ("Set the limits.", "cgroups(7)"),
    "own_cgroup": ("Give the cgroup to the container's root, so that it can divide it further.", "cgroups(7)"),
    "give": ("Give the cgroup to the container's root, so that it can divide it further.", "cgroups(7)"),
    "make_subgroups": ("Make the cgroups below the scope that annotations ask for.", "cgroups(7)"),
    "hand_down": ("Let cgroups below this one have its controllers.", "cgroups(7)"),
    "move_to_cgroup": ("Put the new process into the cgroup, before it does anything that counts.", "cgroups(7)"),
    "join_cgroup": ("Enter the cgroup.", "cgroups(7)"),
    "open_tasks": ("Open the file by which a thread joins the cgroup.", "cgroups(7)"),
    "attach_device_program": ("Let a small program in the kernel decide which devices may be used.", "bpf(2)"),
    "start_scope": ("Ask systemd to make the cgroup, as a scope.", "systemd.scope(5)"),
    "attach_to_unit": ("Ask the user's systemd to put the new process into the container's scope.", "systemd.scope(5)"),
    "make_resctrl_class": ("Make the class of service for cache and memory bandwidth.", ""),
    "use_resctrl_class": ("Find, or make, a class of service that several containers share.", ""),
    "make_resctrl_group": ("Make the group in which use of cache and memory bandwidth is counted.", ""),
    "join_resctrl": ("Put the new process into these groups.", ""),
    # Terminal and streams
    "open_pty": ("Open a terminal of the container's own.", "pty(7)"),
    "pty_slave": ("Take the end of the terminal that the program gets.", "pty(7)"),
    "set_window_size": ("Set the size of the terminal.", "ioctl_tty(2)"),
    "take_terminal": ("Make the terminal the three standard streams, and the one that Ctrl-C comes from.", "ioctl_tty(2)"),
    "hand_over_terminal": ("Send the other end of the terminal to whoever shows it to a person.", "unix(7)"),
    "own_stdio": ("Give the standard streams to the container's user, who could not open them again otherwise.", "chown(2)"),
    # Who the program is, and what it may do
    "prlimit": ("Set a resource limit.", "prlimit(2)"),
    "raise_rlimit": ("Raise a hard limit from outside; the new process may not do that any more.", "prlimit(2)"),
    "sched_setaffinity": ("Choose the processors to run on.", "sched_setaffinity(2)"),
    "sched_setattr": ("Choose the scheduling policy and its parameters.", "sched_setattr(2)"),
    "ioprio_set": ("Choose the priority of input and output.", "ioprio_set(2)"),
    "set_mempolicy": ("Choose the memory nodes to take pages from.", "set_mempolicy(2)"),
    "drop_bounding": ("Take away, for good, every capability that the container is not to have.", "capabilities(7)"),
    "set_groups": ("Set the supplementary groups: none of the caller's stays.", "setgroups(2)"),
    "setresgid": ("Become the container's group.", "setresgid(2)"),
    "setresuid": ("Become the container's user.", "setresuid(2)"),
    "capset": ("Set the capabilities.", "capabilities(7)"),
    "raise_ambient": ("Set the capabilities that programs without file capabilities get, too.", "capabilities(7)"),
    "load_filter": ("Get the compiled seccomp filter; it is put on as the last thing before the program.", "seccomp(2)"),
    "share_listener": ("Prepare to hand the filter's notification descriptor to the host side.", "seccomp_unotify(2)"),
    "wait_filtered": ("Put the filter on, hand its notification descriptor over, and wait for `start`.", "seccomp_unotify(2)"),
    "deliver_listener": ("Send the notification descriptor to the agent that decides about the calls.", "seccomp_unotify(2)"),
    "release_listener": ("Let the new process go on, as the agent has the descriptor.", "seccomp_unotify(2)"),
    # The program
    "make_cwd": ("Make the working directory, if it is missing.", "mkdir(2)"),
    "enter_cwd": ("Go to the working directory, and see that it is inside the root.", "chdir(2)"),
    "open_program": ("Find the program inside the root and open it: this very file will be executed.", "execveat(2)"),
    "name_program": ("Prepare the name by which ps(1) and top(1) will show the program.", "proc(5)"),
    "choose_program": ("See that the user, who this process is by now, may execute it.", "execveat(2)"),
    "open_hook_output": ("Open the file that an annotation gives to the output of hooks.", "open(2)"),
    "run_hook": ("Run a hook, with the container's state on its standard input.", ""),
    "commit": ("Write down that the container is there, and who its init is.", ""),
    "wait_for_start": ("Wait until `pyrunc start` writes to the fifo.", "fifo(7)"),
    "announce_exec": ("Say that only the filter and the execution are left.", ""),
    "exec_program": ("Put on the filter, and become the program.", "execveat(2)"),
}


def of(call: str) -> str:
    """Return what CALL is for."""
    return MEANING[call][0]


def man_page(call: str) -> str:
    """Return the man page about CALL, such as mount(2); "" if there is none."""
    return MEANING[call][1]
