package harness

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// remount binds a folder over itself read-only, or removes that mount again. The lab's mounts are its own.
func remount(path string, readOnly bool) error {
	if !readOnly {
		return unix.Unmount(path, unix.MNT_DETACH)
	}
	if err := unix.Mount(path, path, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	return unix.Mount("", path, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
}

// currentThread is the path of the network namespace that this thread is in.
func currentThread() string {
	return fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid())
}
