//go:build linux || darwin

package testbouncer

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// runAsOwner has root's PgBouncer, which refuses to run as root, be run by whoever owns the server's socket, and else by
// nobody. dir becomes theirs.
func runAsOwner(cmd *exec.Cmd, dir, host string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	account := &syscall.Credential{}
	if info, err := os.Stat(host); err == nil && filepath.IsAbs(host) {
		if stat, ok := info.Sys().(*syscall.Stat_t); ok {
			account.Uid, account.Gid = stat.Uid, stat.Gid
		}
	}
	if account.Uid == 0 {
		nobody, err := user.Lookup("nobody")
		if err != nil {
			return err
		}
		uid, _ := strconv.ParseUint(nobody.Uid, 10, 32)
		gid, _ := strconv.ParseUint(nobody.Gid, 10, 32)
		account.Uid, account.Gid = uint32(uid), uint32(gid)
	}
	if account.Uid == 0 {
		return fmt.Errorf("there is no user to run pgbouncer as")
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: account}
	return os.Chown(dir, int(account.Uid), int(account.Gid))
}
