//go:build linux || darwin

package devdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"
)

// chooseAccount finds whom to run as when this process is root: the owner of the data if there is some, else postgres,
// else nobody.
func (h *home) chooseAccount() error {
	if os.Geteuid() != 0 {
		return nil
	}
	if h.dir != "" {
		if info, err := os.Stat(h.dataDir()); err == nil {
			owner, ok := info.Sys().(*syscall.Stat_t)
			if ok && owner.Uid != 0 {
				h.account = &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}
				return nil
			}
		}
	}
	for _, name := range []string{"postgres", "nobody"} {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(account.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(account.Gid, 10, 32)
		if uidErr != nil || gidErr != nil || uid == 0 {
			continue
		}
		h.account = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		return nil
	}
	return errors.New("PostgreSQL does not run as root, and there is no user postgres or nobody to run it as: create one, or set DATABASE_URL to a database that you have")
}

// handOver makes a kept folder the account's, which must be able to reach it.
func (h *home) handOver(ctx context.Context) error {
	if h.account == nil {
		return nil
	}
	if err := os.Chown(h.dir, int(h.account.Uid), int(h.account.Gid)); err != nil {
		return err
	}
	try := exec.CommandContext(ctx, "/bin/sh", "-c", `cd "$1"`, "sh", h.dir)
	try.Dir = "/"
	try.SysProcAttr = &syscall.SysProcAttr{Credential: h.account}
	if out, err := try.CombinedOutput(); err != nil {
		return fmt.Errorf("PostgreSQL does not run as root, and the user it runs as (%d) cannot enter the folder (%w: %s): name one below folders that everybody may enter", h.account.Uid, err, strings.TrimSpace(string(out)))
	}
	return nil
}
