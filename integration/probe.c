/* What busybox cannot look at from inside a container.  Static, so that it runs in any root.

   probe call NR [ARG...]    make one system call; print its result, or minus its errno
   probe cwd                 print what getcwd(2) says, "(unreachable)" and all
   probe fds                 print the numbers of the open descriptors, one a line, without opening any
   probe lie-in-wait SECONDS MAJOR MINOR INODE
                             attack every process that appears: for each that runs the program of that
                             inode, try to open its memory, its descriptors and its program for writing;
                             print what was got, "done" at the end
   probe trace SECONDS VICTIM
                             attack every process that appears, but those that run a program of this root: try
                             to open its program, its regular files, and file VICTIM below its root and
                             its directories for writing; print each way that worked, "done" at the end
*/
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int call(int argc, char **argv)
{
	long value[6] = {0};

	for (int i = 1; i < argc && i < 7; i++)
		value[i - 1] = strtol(argv[i], NULL, 0);
	long got = syscall(strtol(argv[0], NULL, 0), value[0], value[1], value[2], value[3], value[4], value[5]);
	printf("%ld\n", got == -1 ? -errno : got);
	return 0;
}

static int cwd(void)
{
	char path[4096] = "";

	syscall(SYS_getcwd, path, sizeof(path));
	puts(path);
	return 0;
}

static int fds(void)
{
	for (int fd = 0; fd < 4096; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			printf("%d\n", fd);
	return 0;
}

/* Open /proc/PID/NAME with FLAGS; return whether that worked. */
static int opens(const char *pid, const char *name, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%.16s/%s", pid, name);
	int fd = open(path, flags | O_CLOEXEC);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void attack(const char *pid, dev_t device, ino_t inode)
{
	char path[64], again[64];
	struct stat found;

	snprintf(path, sizeof(path), "/proc/%.16s/exe", pid);
	int exe = open(path, O_PATH | O_CLOEXEC);
	if (exe < 0)
		return;
	if (!fstat(exe, &found) && found.st_dev == device && found.st_ino == inode) {
		printf("got exe of %s\n", pid);
		if (opens(pid, "mem", O_RDWR))
			printf("got mem of %s\n", pid);
		if (opens(pid, "fd", O_RDONLY | O_DIRECTORY))
			printf("got fd of %s\n", pid);
		if (opens(pid, "root", O_PATH | O_DIRECTORY))
			printf("got root of %s\n", pid);
		/* The file is busy while it runs: keep at it, the process may end in between. */
		snprintf(again, sizeof(again), "/proc/self/fd/%d", exe);
		for (int i = 0; i < 2000; i++) {
			int fd = open(again, O_WRONLY | O_CLOEXEC);
			if (fd >= 0) {
				printf("got a writable exe of %s\n", pid);
				close(fd);
				break;
			}
		}
		fflush(stdout);
	}
	close(exe);
}

static int lie_in_wait(char **argv)
{
	time_t end = time(NULL) + atoi(argv[0]);
	dev_t device = makedev(atoi(argv[1]), atoi(argv[2]));
	ino_t inode = strtoull(argv[3], NULL, 10);

	puts("ready");
	fflush(stdout);
	while (time(NULL) < end) {
		DIR *processes = opendir("/proc");
		struct dirent *entry;

		while (processes && (entry = readdir(processes)))
			if (entry->d_name[0] > '0' && entry->d_name[0] <= '9' && atoi(entry->d_name) != getpid())
				attack(entry->d_name, device, inode);
		if (processes)
			closedir(processes);
	}
	puts("done");
	return 0;
}

/* Print what was got, once. */
static void got(const char *what, const char *pid, const char *where)
{
	static char told[512][256];
	static int count;
	char text[256];

	snprintf(text, sizeof(text), "%s %s", what, where);
	for (int i = 0; i < count; i++)
		if (!strcmp(told[i], text))
			return;
	if (count < 512)
		strcpy(told[count++], text);
	printf("%s (process %s)\n", text, pid);
	fflush(stdout);
}

/* Return whether PATH, with what follows, can be opened for writing as a regular file. */
static int writes(const char *path, const char *below)
{
	char whole[PATH_MAX];
	struct stat found;

	snprintf(whole, sizeof(whole), "%s%s", path, below);
	int fd = open(whole, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	int is = fd >= 0 && !fstat(fd, &found) && S_ISREG(found.st_mode);
	if (fd >= 0)
		close(fd);
	return is;
}

/* Return whether what is open as FD is the file of that name here: of this root, and so ours anyway. */
static int of_this_root(int fd, const char *name)
{
	struct stat found, ours;

	return !fstat(fd, &found) && !stat(name, &ours) && ours.st_dev == found.st_dev && ours.st_ino == found.st_ino;
}

/* Try to write to the file at PATH, of process PID, which is called NAME there; held open until it is not busy any more. */
static void attack_file(const char *path, const char *pid, const char *what, const char *name)
{
	struct stat found;
	char again[64];
	int held = open(path, O_PATH | O_CLOEXEC);

	if (held < 0)
		return;
	snprintf(again, sizeof(again), "/proc/self/fd/%d", held);
	for (int i = 0; i < 20000 && !fstat(held, &found) && S_ISREG(found.st_mode) && !of_this_root(held, name); i++) {
		int fd = open(again, O_WRONLY | O_CLOEXEC);
		if (fd >= 0) {
			got(what, pid, name);
			close(fd);
		}
		if (fd >= 0 || errno != ETXTBSY)
			break;
	}
	close(held);
}

static void attack_files(const char *pid, const char *victim)
{
	char path[PATH_MAX], link[PATH_MAX];
	struct dirent *entry;

	snprintf(path, sizeof(path), "/proc/%.16s/root", pid);
	if (writes(path, victim))
		got("victim by root of", pid, "it");
	snprintf(path, sizeof(path), "/proc/%.16s/fd", pid);
	DIR *files = opendir(path);
	while (files && (entry = readdir(files))) {
		snprintf(path, sizeof(path), "/proc/%.16s/fd/%.16s", pid, entry->d_name);
		ssize_t length = readlink(path, link, sizeof(link) - 1);
		if (entry->d_name[0] == '.' || length <= 0)
			continue;
		link[length] = 0;
		attack_file(path, pid, "file", link);
		if (writes(path, victim))
			got("victim by", pid, link);
	}
	if (files)
		closedir(files);
}

static int trace(char **argv)
{
	time_t end = time(NULL) + atoi(argv[0]);
	char path[64], named[PATH_MAX];

	puts("ready");
	fflush(stdout);
	while (time(NULL) < end) {
		DIR *processes = opendir("/proc");
		struct dirent *entry;

		while (processes && (entry = readdir(processes)))
			if (entry->d_name[0] > '0' && entry->d_name[0] <= '9' && atoi(entry->d_name) != getpid()) {
				snprintf(path, sizeof(path), "/proc/%.16s/exe", entry->d_name);
				ssize_t length = readlink(path, named, sizeof(named) - 1);
				named[length > 0 ? length : 0] = 0;
				attack_files(entry->d_name, argv[1]);
				attack_file(path, entry->d_name, "program", named);
			}
		if (processes)
			closedir(processes);
	}
	puts("done");
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 2 && !strcmp(argv[1], "call"))
		return call(argc - 2, argv + 2);
	if (argc == 2 && !strcmp(argv[1], "cwd"))
		return cwd();
	if (argc == 2 && !strcmp(argv[1], "fds"))
		return fds();
	if (argc == 6 && !strcmp(argv[1], "lie-in-wait"))
		return lie_in_wait(argv + 2);
	if (argc == 4 && !strcmp(argv[1], "trace"))
		return trace(argv + 2);
	fprintf(stderr, "usage: see probe.c\n");
	return 2;
}
