"""What a cause rests on, and how it is proven to have been the same at the exec.

A cause is certain only if everything that it rests on was the same at the exec as at the look. It rests on
what was looked at to find it: ``Scene`` hands every walk along a path to ``Looks``, so whoever writes a cause
cannot leave anything out. (What is looked at for advice or a remark goes through ``Scene.aside``.) Each walk
is a chain, and each link of the chain is proven by itself:

The root directory
    is the caller's, as the kernel program read it. If it is a path (chroot), the walk to it counts, too.

The working directory
    is a path that the kernel program read. The walk along it counts, and must end where the walk of the file
    began. What a descriptor of execveat led to is not recorded, so it is in doubt.

    Both are read when the call has failed, and a task that shares them (CLONE_FS) can change them during the
    call. So they are proven only if no task shared them when it began (``shared_directories``).

A component
    existed at the exec, under that name, if one of two inodes has not changed since. The first is the
    directory that holds it: every entry that is added, removed or renamed sets its ctime. The second is what
    the name leads to: on each file system of ``_KEEPING``, a rename or link sets the ctime of the inode that
    it moves. Because of the second one, a cause below /tmp can be certain while others write there. It proves
    nothing for the root of a btrfs subvolume, whose snapshots have the old ctime, nor for the root of a
    mount. The target of a link cannot change at all.

A name that is missing
    was missing at the exec if the directory has not changed since.

Names in an encrypted directory (fscrypt)
    depend on its key, which leaves no trace when it is removed: they are in doubt.

A file's permissions, ACL, capabilities and owner
    were the same if its ctime is older: chmod, chown and setxattr each set it.

    The kernel sets the ctime before the change takes effect, and whoever makes the change can draw that out.
    So names and permissions that others than root may change must be older by some seconds
    (``SLOW_SECONDS``), unless the kernel program read them. Content needs no such margin: while a write or
    truncation lasts, the kernel refuses to execute the file (ETXTBSY), or refuses the write.

A file's content
    was the same if its ctime is older and nobody had it mapped for writing: a page that is dirty already can
    be written through a shared mapping without a new ctime. If only root may write the file, it is taken as
    proven that nobody had. Otherwise the kernel must have opened it for the exec. It refuses that while the
    file is open for writing, and a file that is mapped for writing is open for writing (deny_write_access,
    ETXTBSY; not in Linux 6.11 and 6.12.0 to 6.12.1); a later mapping sets the ctime when it makes a page
    dirty. After EACCES and EPERM this is proven only for the inode that the kernel program read, because
    Landlock and fanotify refuse right before, in file_open, without a trace; after any other error the kernel
    had opened the file. On a tmpfs, a write through a later mapping sets no ctime if the page was read
    before. Nor need the ctime be set on XFS and F2FS, where an owner can move blocks between two files. On
    these file systems only what is root's alone is proven. On ext4 such a move leaves a block of zeros
    behind, so what was read must show that it is none; see ``content``. After an EACCES, content counts only
    if the file names an interpreter that was looked at.

    A guard that leaves no trace may have refused first. That does not weaken permissions, mount options and
    the file's type as causes: each suffices by itself, and the kernel asks them first (may_open, then
    file_open).

Whether a capability overrides permissions
    depends on the caller's user namespace, which the kernel program read. In the first one it does. Of any
    other one only the ids that it has at the look are known, and if these count, a cause is not certain: a
    caller can enter a namespace below its own at any time.

A directory's permissions
    count only for an EACCES: with any other error the kernel passed the directory. A directory of root's
    whose last change was of an entry (its ctime equals its mtime) is taken as unchanged, because /tmp never
    would be otherwise; see ``Looks.may_be_closed``. This holds for directories that let the caller in and for
    the one that refuses it.

Mounts
    hide what lies below them, and leave no trace when they are removed. Our own mount namespace is watched,
    and that of process 1 (``MountWatch``). Of another one nothing is known from before, unless something
    failed there right before (``MountTable.unchanged_since``). If an unprivileged user has made it, anything
    may have been mounted there at the exec. Otherwise only CAP_SYS_ADMIN allows mounting there. A cause is
    not certain if the caller has that and it or its parent is still there to use it; nor if others than root
    may write a directory or file on the way, because a set-user-ID helper (fusermount) mounts there for any
    user, in this namespace or in one that it receives mounts from. Such helpers require the right to write,
    and ownership in a sticky directory; what /etc/fstab lets users mount elsewhere is not considered. The
    mounts of a container are taken to be its runtime's, which makes them before it starts the entry point and
    removes them after that has ended. A container is a pid namespace of its own with a process to which all
    user ids are mapped, because any user can make the other ones.

The file that the kernel had open
    needs none of this: if the kernel program read its inode (``Binary.source``) and the look found the same
    one, the way to it is proven, whatever has happened on it.

What has no timestamp
    proves nothing about the exec: a resource limit, which its owner can set at any time; who has a file open,
    because it may have been opened since; and where the links of /proc/PID lead (exe, cwd, root, fd, ns),
    because a process can exchange what they lead to. A cause that rests on one of them is not certain
    (``caller.undated``). Neither is one that rests on argv and envp as read in the caller's memory
    (``caller.rewritable``), or on their or the path's being unreadable there: the kernel may have been able
    to read them.

If the look itself explains the errno (the file is missing, has no execute bit, has no format), a filter
cannot have made another error. If the errno is the only evidence, ``caller.forged`` says whether seccomp or a
tracer may have made it.

Formats that a user registers in their own user namespace (binfmt_misc, Linux 6.7) are not seen:
``handlers.unseen`` says if there may be some, and if a handler that everybody has was removed since;
``handlers.undated`` says if a handler may be younger than the exec.
"""

__all__ = ["looks", "names"]
