//go:build linux || darwin

package devdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// orphanGrace is how long a server whose parent has ended may take to stop: what supervise.sh allows, and a little.
	orphanGrace = 15 * time.Second
	silentGrace = time.Second // from the close of a server's socket to its end
)

const lockName = "lock"

// home is where one server lives: its account, its data, and a scratch folder that goes with it.
type home struct {
	account *syscall.Credential // nil: that of this process
	dir     string              // the folder that Opts named, or ""
	lock    *os.File            // held on dir while the server belongs to this process
	major   int                 // version of the data in dir, 0 if there is none yet
	scratch string              // holds the socket, and without dir the data and the log as well
}

// openHome takes possession of a kept folder; dir may be empty.
func openHome(ctx context.Context, dir string) (*home, error) {
	h := &home{}
	if dir == "" {
		return h, h.chooseAccount()
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	h.dir = abs
	if err := h.claim(ctx); err != nil {
		h.close()
		return nil, fmt.Errorf("data folder %s: %w", h.dir, err)
	}
	return h, nil
}

func (h *home) claim(ctx context.Context) error {
	if err := h.makeDir(); err != nil {
		return err
	}
	if err := h.takeLock(); err != nil {
		return err
	}
	if err := h.waitOrphan(ctx); err != nil {
		return err
	}
	if err := h.readVersion(); err != nil {
		return err
	}
	if err := h.chooseAccount(); err != nil {
		return err
	}
	return h.handOver(ctx)
}

// makeDir refuses a folder with other things in it: root gives the folder away, and the server keeps all of it to itself.
func (h *home) makeDir() error {
	if err := os.MkdirAll(filepath.Dir(h.dir), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(h.dir, 0o700); !errors.Is(err, fs.ErrExist) {
		return err
	}
	list, err := os.ReadDir(h.dir)
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(e fs.DirEntry) bool { return e.Name() == "lost+found" })
	if len(list) == 0 || slices.ContainsFunc(list, func(e fs.DirEntry) bool { return e.Name() == lockName }) {
		return nil
	}
	return fmt.Errorf("it holds %s, which was not made here: name an empty or new folder", list[0].Name())
}

// takeLock makes this process the only one with a server in the folder. The system drops the lock with the process.
func (h *home) takeLock() error {
	lock, err := os.OpenFile(filepath.Join(h.dir, lockName), os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer lock.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return fmt.Errorf("lock it: %w", err)
		}
		owner, err := io.ReadAll(lock)
		if err != nil {
			return fmt.Errorf("read its owner: %w", err)
		}
		return fmt.Errorf("it is in use by process %s, which runs a PostgreSQL there: stop that, or name another folder", strings.TrimSpace(string(owner)))
	}
	h.lock = lock
	if err := lock.Truncate(0); err != nil {
		return err
	}
	_, err = lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// waitOrphan waits for the server of a process that was killed, which is on its way down. A file of a server that does
// not answer is left to PostgreSQL to judge: its process number may be another's by now.
func (h *home) waitOrphan(ctx context.Context) error {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	began := time.Now()
	answered := began
	for {
		p := readPIDFile(h.dataDir())
		if p.pid == 0 || errors.Is(syscall.Kill(p.pid, 0), syscall.ESRCH) {
			return nil
		}
		if p.answers(ctx) {
			answered = time.Now()
		} else if time.Since(answered) > silentGrace {
			return nil
		}
		if time.Since(began) > orphanGrace {
			return runningError(p.pid)
		}
		select {
		case <-ctx.Done():
			return errors.Join(runningError(p.pid), ctx.Err())
		case <-tick.C:
		}
	}
}

func runningError(pid int) error {
	return fmt.Errorf("a PostgreSQL server runs there already as process %d: stop it, or name another folder", pid)
}

func (h *home) readVersion() error {
	path := filepath.Join(h.dataDir(), "PG_VERSION")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("version of the data: %w", err)
	}
	if h.major, err = strconv.Atoi(strings.TrimSpace(string(text))); err != nil {
		return fmt.Errorf("version of the data: %s: %w", path, err)
	}
	return nil
}

// openScratch makes the folder of the socket, which only the server's account (and root) can enter.
func (h *home) openScratch(base string) error {
	if base == "" {
		base = os.TempDir()
		if h.account != nil || !socketFits(filepath.Join(base, "tidemill-pg-4294967295")) {
			base = "/tmp" // short, and everybody may remove what is theirs there
		}
	}
	scratch, err := os.MkdirTemp(base, "tidemill-pg-")
	if err != nil {
		return fmt.Errorf("temporary folder: %w", err)
	}
	h.scratch = scratch
	if h.account == nil {
		return nil
	}
	if err := os.Chown(scratch, int(h.account.Uid), int(h.account.Gid)); err != nil {
		return fmt.Errorf("temporary folder: %w", err)
	}
	return nil
}

func (h *home) dataDir() string {
	if h.dir != "" {
		return filepath.Join(h.dir, "data")
	}
	return filepath.Join(h.scratch, "data")
}

func (h *home) logFile() string {
	if h.dir != "" {
		return filepath.Join(h.dir, "server.log")
	}
	return filepath.Join(h.scratch, "server.log")
}

// close removes the scratch folder and gives a kept one up. It may be called again.
func (h *home) close() error {
	var err error
	if h.scratch != "" {
		err = os.RemoveAll(h.scratch)
	}
	if h.lock != nil {
		h.lock.Close()
		h.lock = nil
	}
	return err
}
