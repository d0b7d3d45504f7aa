package chaos

import (
	"os"
	"os/exec"
	"syscall"
)

// asServerUser runs a command as the owner of the server's data, since pg_ctl refuses root.
func asServerUser(cmd *exec.Cmd, data string) {
	info, err := os.Stat(data)
	if err != nil || os.Geteuid() != 0 {
		return
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return
	}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}}
}
