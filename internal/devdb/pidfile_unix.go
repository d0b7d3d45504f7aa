//go:build linux || darwin

package devdb

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// pidFile is what postmaster.pid says about a server.
type pidFile struct {
	pid    int
	ready  bool   // it accepts connections
	socket string // "" if it has none
}

// readPIDFile returns the zero value if there is no such file or it is not complete yet.
func readPIDFile(dataDir string) pidFile {
	text, err := os.ReadFile(filepath.Join(dataDir, "postmaster.pid"))
	if err != nil {
		return pidFile{}
	}
	// Lines: process, data folder, start time, port, socket folder, address, shared memory, status.
	lines := strings.Split(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || pid <= 0 {
		return pidFile{}
	}
	p := pidFile{pid: pid}
	if len(lines) > 4 && lines[4] != "" {
		p.socket = filepath.Join(lines[4], ".s.PGSQL."+lines[3])
	}
	if len(lines) > 7 {
		status := strings.TrimSpace(lines[7])
		p.ready = status == "ready" || status == "standby" // a standby accepts those that only read
	}
	return p
}

// answers reports whether somebody listens on the server's socket.
func (p pidFile) answers(ctx context.Context) bool {
	if p.socket == "" {
		return false
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", p.socket)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}
